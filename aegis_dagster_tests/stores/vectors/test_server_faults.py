"""What a server may answer instead of a result, and what is said about it. Everything goes over the wire."""

import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.errors import AegisError, ConfigurationError, ServiceError
from aegis_dagster.stores.vectors.server_access import ServerAccess
from aegis_dagster_tests.stores.vectors.test_qdrant import TEXTS, A, fill
from aegis_dagster_tests.support.certificates import self_signed
from aegis_dagster_tests.support.points import points_of, vector_of
from aegis_dagster_tests.support.points_writer import DOCUMENTS, PASSAGES, open_store, replace, server_at
from aegis_dagster_tests.support.qdrant_server.running import QdrantStandIn, program
from aegis_dagster_tests.support.servers.programs import free_port

DISK = "Service internal error: No space left on device: WAL buffer size exceeds available disk space"
ANSWERS: dict[str, tuple[dict[str, Any], type[AegisError], str, str]] = {
    "disk": ({"status": 500, "error": DISK}, ServiceError, "disk of the server is full", "free space on the server's"),
    "507": ({"status": 507, "error": "Insufficient storage: 1 MB"}, ServiceError, "disk .* is full", "nothing is lost"),
    "gone": (
        {"status": 404, "error": "Not found: Collection `documents__model_1` doesn't exist!"},
        ServiceError,
        "has lost a collection",
        "aegis ingest.*without paid calls",
    ),
    "strict": ({"status": 400, "error": "Bad request: Limit exceeded 9 > 5"}, ConfigurationError, "9 > 5", "strict"),
    "panic": ({"status": 500, "error": "Service internal error: task panicked"}, ServiceError, "panicked", "log"),
    "starting": (
        {"status": 503, "error": "Shard temporarily unavailable: 0"},
        ServiceError,
        "cannot answer now",
        "wait",
    ),
    "proxy": ({"status": 502}, ServiceError, "cannot answer now: 502 Bad Gateway", "wait"),
    "rate": (
        {"status": 429, "error": "Rate limiting exceeded: 9", "headers": {"Retry-After": "30"}},
        ServiceError,
        "limiting",
        "wait",
    ),
    "slow": ({"status": 408, "error": "Timeout: Operation 'Update' timed out"}, ServiceError, "timed out", "wait"),
    "locked": ({"status": 403, "error": "Storage locked: recovery mode"}, ConfigurationError, "recovery mode", "names"),
    "website": ({"status": 200}, ConfigurationError, "is no Qdrant server", "qdrant.url"),
    "path": ({"status": 404, "text": "404 page not found"}, ConfigurationError, "is no Qdrant server: 404", "the path"),
    "reset": ({"reset": True}, ServiceError, "does not answer", "https://"),
    "hangs": ({"delay": 3}, ServiceError, "did not answer within 0.3 s", "qdrant.timeout_seconds"),
}


@pytest.mark.parametrize(("fault", "kind", "what", "remedy"), ANSWERS.values(), ids=ANSWERS.keys())
def test_each_answer_has_its_error_and_its_remedy(
    qdrant_server: QdrantStandIn, fault: dict[str, Any], kind: type[AegisError], what: str, remedy: str
) -> None:
    store = open_store(server_at(qdrant_server.url))
    fill(store)
    qdrant_server.script({"match": "PUT /collections/documents__model_1/points", "times": 9} | fault)
    asking = open_store(server_at(qdrant_server.url, timeout_seconds=0.3)) if "delay" in fault else store
    with pytest.raises(kind, match=f"(?s){what}.*Remedy: .*{remedy}"):
        asking.replace_documents(points_of(A, ["new"], "f2"), {A: "f2"})
    qdrant_server.script()
    assert store.counts_by_document()[A] == 3  # as before, and the same command goes on
    store.replace_documents(points_of(A, ["new"], "f2"), {A: "f2"})
    assert store.counts_by_document()[A] == 1


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"title": "Welcome"}, "is no Qdrant server: Welcome"),
        ({"version": "1.15.4"}, r"version 1\.15\.4; at least 1\.16 is needed.*upgrade the server"),
        ({"api_key": "right"}, "refuses the key.*AEGIS_QDRANT_API_KEY"),
        (
            {"read_only_api_key": "wr0ng-key", "api_key": "right"},
            "does not allow this with the key.*not to one for reading",
        ),
    ],
)
def test_who_must_not_come_in_is_told_why_and_shows_no_key(
    qdrant_server: QdrantStandIn, settings: dict[str, Any], what: str
) -> None:
    qdrant_server.settings(**settings)
    backend = server_at(qdrant_server.url, api_key="wr0ng-key")
    with pytest.raises(ConfigurationError, match=f"(?s){what}") as caught:
        fill(open_store(backend))
    assert (
        "wr0ng-key"
        not in f"{caught.value} {caught.value.__cause__} {ServerAccess(backend.place, 'wr0ng-key', None, 1, 1)}"
    )


def test_a_key_opens_a_server_and_none_is_asked_for(qdrant_server: QdrantStandIn) -> None:
    qdrant_server.settings(api_key="right")
    fill(open_store(server_at(qdrant_server.url, api_key="right")))
    with pytest.raises(ConfigurationError, match=r"asks for a key: Must provide an API key.*AEGIS_QDRANT_API_KEY"):
        open_store(server_at(qdrant_server.url)).count()


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_a_server_that_is_not_there(host: str) -> None:
    with pytest.raises(ServiceError, match=r"does not answer: .*see that the server runs") as caught:
        open_store(server_at(f"http://{host}:{free_port()}")).exists()
    assert caught.value.retryable


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a stand-in with TLS, and the certificate of its authority."""
    folder, port = tmp_path_factory.mktemp("tls"), free_port()
    certificate, key = self_signed(folder)
    running = program(folder, str(port), str(certificate), str(key))
    running.start()
    yield f"https://127.0.0.1:{port}/one", certificate
    running.stop()


def test_tls_is_checked_by_the_authority_in_the_settings(secure: tuple[str, Path], tmp_path: Path) -> None:
    url, certificate = secure
    store = open_store(server_at(url, ca_file=certificate))
    fill(store)
    assert store.search("bearing", vector_of(TEXTS[1]), limit=1)[0].ordinal == 1
    with pytest.raises(ConfigurationError, match=r"is not trusted: self.signed.*qdrant\.ca_file"):
        open_store(server_at(url, retry_seconds=60)).count()  # at once
    with pytest.raises(ConfigurationError, match=r"not trusted.*as the certificate names it"):
        open_store(server_at(url.replace("127.0.0.1", "localhost"), ca_file=certificate)).count()
    with pytest.raises(ServiceError, match=r"if it has TLS, qdrant\.url begins with https"):
        open_store(server_at(url.replace("https", "http"))).count()
    (tmp_path / "none.pem").write_text("nothing")
    for file in (tmp_path / "none.pem", tmp_path / "missing.pem"):
        with pytest.raises(ConfigurationError, match=r"qdrant\.ca_file, .*cannot be read"):
            open_store(server_at(url, ca_file=file)).count()


def test_tls_where_there_is_none(qdrant_server: QdrantStandIn) -> None:
    with pytest.raises(ConfigurationError, match=r"does not speak TLS.*write http://"):
        open_store(server_at(qdrant_server.url.replace("http:", "https:"), retry_seconds=60)).count()


WRITES = ("PUT /collections/documents__model_1", "/index", "/points", "POST /collections/aliases", "/points/delete")


@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}, {"reset": True, "after": True}], ids=str)
def test_a_request_is_repeated_whether_it_was_carried_out_or_not(
    qdrant_server: QdrantStandIn, fault: dict[str, Any]
) -> None:
    qdrant_server.script(*({"match": match, "times": 1} | fault for match in WRITES))
    store = open_store(server_at(qdrant_server.url, retry_seconds=60))
    fill(store)
    store.replace_documents(points_of(A, TEXTS[:1], "f2"), {A: "f2"})
    assert sorted(store.counts_by_document().values()) == [1, 1]
    assert store.active_collection() == store.collection
    asked = [f"{each['method']} {each['path']}" for each in qdrant_server.records()]
    assert sum(one == other for one, other in pairwise(asked)) >= len(WRITES)


def test_a_server_that_is_killed_and_started_again_in_the_middle_keeps_every_write(tmp_path: Path) -> None:
    running = program(tmp_path)
    running.start()
    try:
        store = open_store(server_at(f"{running.url}/one", retry_seconds=120))
        replace(store, "v1")

        def interrupted() -> None:
            running.kill()
            running.start()

        thread = threading.Thread(target=interrupted)
        thread.start()
        try:
            with store.kept_open():
                replace(store, "v2")
                replace(store, "v3")
        finally:
            thread.join()
        running.kill()
        running.start()
        assert {point.payload["fingerprint"] for point in store.scan()} == {"v3"}
        assert store.counts_by_document() == dict.fromkeys(DOCUMENTS, PASSAGES)
    finally:
        running.stop()


def test_every_write_waits_until_it_is_done_and_stays_below_the_limits(qdrant_server: QdrantStandIn) -> None:
    store = open_store(server_at(qdrant_server.url))
    texts = [f"Passage number {number}." for number in range(1203)]
    qdrant_server.script()
    store.replace_documents(points_of(A, texts, "f1"), {A: "f1"})
    written = qdrant_server.records("PUT /collections/documents__model_1/points")
    assert len(written) == 3
    qdrant_server.script()
    qdrant_server.settings(limit=100_000)
    store.replace_documents(points_of(A, texts[:600], "f2"), {A: "f2"})
    assert store.counts_by_document() == {A: 600}
    written += qdrant_server.records("PUT /collections/documents__model_1/points")
    assert min(each["bytes"] for each in written[3:]) <= 100_000
    written += qdrant_server.records("POST /collections/documents__model_1/points/delete")
    assert {each["query"] for each in written} == {"wait=true"}
    qdrant_server.settings(limit=500)
    with pytest.raises(ServiceError, match=r"one point as too large.*max_request_size_mb"):
        store.replace_documents(points_of(A, texts[:1], "f3"), {A: "f3"})
