"""The protocol of docling-serve: what is tried again, and whom a failure blames."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.domain.identifiers import CollectionName, DocumentId, Revision
from aegis_dagster.domain.stages import Document
from aegis_dagster.errors import ConfigurationError, Deferred, DocumentError, FailureCode, ServiceError
from aegis_dagster.parsing.readers import Parsed
from aegis_dagster.parsing.serve import answers
from aegis_dagster.parsing.serve.conversion import DoclingServe, ServeAccess
from aegis_dagster.parsing.serve.versions import ask_versions, check_key
from aegis_dagster.settings.serve import ServeSettings
from aegis_dagster_tests.support.bad_files import one_page_pdf
from aegis_dagster_tests.support.servers.docling_serve import ServeStandIn, serve_stand_in

TEXT = "A page with enough text to be read without recognition."


@pytest.fixture
def served() -> Iterator[ServeStandIn]:
    with serve_stand_in() as server:
        yield server


def access(served: ServeStandIn, **changes: Any) -> ServeAccess:
    """The server as settings name it."""
    usual = ServeAccess(
        url=served.url,
        versions=ask_versions(served.url),
        options={"to_formats": ["json"]},
        suffixes={".pdf"},
        may_have=lambda collection: True,
        at_once=2,
        patience_seconds=2,
        timeout_seconds=60,
        max_megabytes=1,
        fallback=False,
    )
    return replace(usual, **changes)


async def parse(server: DoclingServe, folder: Path, data: bytes | None = None) -> Parsed:
    """One PDF, by the server."""
    data = data or one_page_pdf(TEXT)
    revision = sha256(data).hexdigest()
    path = folder / f"{revision}.pdf"
    path.write_bytes(data)
    document = Document(DocumentId("c/a.pdf"), CollectionName("c"), Revision(revision), len(data), ".pdf")
    async with server.converted(path, document) as answer:
        return answers.read(answer, pages=1)


@pytest.fixture
def server_of(served: ServeStandIn) -> Callable[..., DoclingServe]:
    """`server_of(**changes)`: what parses by the stand-in, made inside the test's event loop."""
    return lambda **changes: DoclingServe(access(served, **changes))


Make = Callable[..., DoclingServe]


@pytest.mark.parametrize(
    ("prepare", "submissions"),
    [
        (lambda served: served.refusals.extend([("/file/async", 503, "{}"), ("/file/async", 429, "{}")]), 1),
        (lambda served: served.refusals.extend([("/poll/", 502, "<html>"), ("/poll/", 500, "{}")]), 1),
        (lambda served: served.refusals.append(("/result/", 503, '{"detail":"busy"}')), 1),
        (lambda served: served.refusals.append(("/version", 503, "{}")), 1),
        (lambda served: setattr(served, "forget_after_submitting", 2), 3),
        (lambda served: setattr(served, "forget_results", 1), 2),
        (lambda served: setattr(served, "polls", 3), 1),
    ],
    ids=["busy", "failing polls", "failing result", "no version", "lost jobs", "expired result", "slow"],
)
async def test_a_server_that_recovers_costs_no_attempt(
    tmp_path: Path, served: ServeStandIn, server_of: Make, prepare: Callable[[ServeStandIn], None], submissions: int
) -> None:
    server = server_of()
    prepare(served)
    assert (await parse(server, tmp_path)).document.texts[0].text == TEXT
    await server.aclose()
    assert len(served.submissions) == submissions
    assert served.refusals == []


def failing(**fields: Any) -> Callable[[ServeStandIn], None]:
    """A server in which every job fails with these fields of its status."""
    return lambda served: setattr(served, "failure", fields)


def answering(body: Callable[[dict[str, Any]], Any]) -> Callable[[ServeStandIn], None]:
    """A server that answers what is made of a right answer."""

    def prepare(served: ServeStandIn) -> None:
        served.answer = lambda values: json.dumps(body(values)).encode()

    return prepare


def _public(category: str, message: str) -> dict[str, Any]:
    failure = {"category": category, "message": message, "retryable": False, "phase": "execution", "details": {}}
    return {"failure": failure, "error_message": message}


@pytest.mark.parametrize(
    ("prepare", "code", "said"),
    [
        (failing(error_message="Internal processing error.", failure=None), "worker_crashed", "Internal processing"),
        (failing(**_public("policy", "Document exceeds service limits.")), "too_large", "exceeds service limits"),
        (failing(**_public("timeout", "Too slow.")), "timeout", "parse.timeout_seconds"),
        (lambda served: setattr(served, "forget_after_submitting", 9), "worker_crashed", "forgot the job 3 times"),
        (lambda served: served.refusals.append(("/file/async", 413, "{}")), "too_large", "takes no file of this size"),
        (lambda served: setattr(served, "answer", lambda values: b"<html>"), "bad_answer", "no result"),
        (answering(lambda values: []), "bad_answer", "no result"),
        (answering(lambda values: values | {"errors": ["x"]}), "bad_answer", "no result"),
        (answering(lambda values: values | {"document": {"json_content": None}}), "bad_answer", "no document"),
        (answering(lambda values: values | {"document": {"json_content": {"texts": 7}}}), "bad_answer", "no document"),
        (answering(lambda values: values | {"status": "failure"}), "corrupt_file", "could not read it"),
        (
            answering(
                lambda values: values | {"status": "partial_success", "errors": [{"category": "timeout", "page_no": 1}]}
            ),
            "timeout",
            "did not finish",
        ),
    ],
)
async def test_a_failure_over_one_document_is_its_own(
    tmp_path: Path,
    served: ServeStandIn,
    server_of: Make,
    prepare: Callable[[ServeStandIn], None],
    code: str,
    said: str,
) -> None:
    server = server_of()
    prepare(served)
    with pytest.raises(DocumentError) as failure:
        await parse(server, tmp_path)
    await server.aclose()
    assert (failure.value.code, said in failure.value.message) == (FailureCode(code), True), failure.value


@pytest.mark.parametrize(
    ("prepare", "error", "said"),
    [
        (lambda served: setattr(served, "api_key", "other"), ConfigurationError, "DOCLING_SERVE_API_KEY"),
        (
            lambda served: served.refusals.append(("/file/async", 422, '{"detail":"document_timeout exceeds 10"}')),
            ConfigurationError,
            "document_timeout exceeds 10",
        ),
        (lambda served: served.refusals.append(("/file/async", 404, "")), ConfigurationError, r"parse\.serve\.url"),
        (lambda served: setattr(served, "forget_results", 2), ServiceError, "expire"),
        (lambda served: setattr(served, "versions", {"docling-serve": "a b"}), ConfigurationError, "version"),
        (lambda served: served.refusals.append(("/file/async", 402, '{"detail":"limit"}')), Deferred, "no quota left"),
        (failing(**_public("capacity", "out of memory")), ServiceError, "out of memory"),
    ],
)
async def test_what_is_wrong_with_the_server_or_the_settings_blames_no_document(
    tmp_path: Path,
    served: ServeStandIn,
    server_of: Make,
    prepare: Callable[[ServeStandIn], None],
    error: type[Exception],
    said: str,
) -> None:
    server = server_of()
    prepare(served)
    with pytest.raises(error, match=said):
        await parse(server, tmp_path)
    await server.aclose()


async def test_a_server_in_which_every_file_fails_is_to_blame_itself(
    tmp_path: Path, served: ServeStandIn, server_of: Make
) -> None:
    served.failure = {"error_message": "Internal processing error.", "failure": None}
    server = server_of()
    for number in range(4):
        with pytest.raises(DocumentError, match="Internal processing error"):
            await parse(server, tmp_path, one_page_pdf(f"Page {number}"))
    with pytest.raises(ServiceError, match="5 files in a row failed inside it"):
        await parse(server, tmp_path)
    await server.aclose()


async def test_an_endless_answer_ends_with_its_document(tmp_path: Path, served: ServeStandIn, server_of: Make) -> None:
    served.answer = lambda values: b" " * 257_000_000
    server = server_of()
    with pytest.raises(DocumentError, match="more than 256 MB"):
        await parse(server, tmp_path)
    await server.aclose()
    assert not list(tmp_path.glob("**/answer.json"))


async def test_jobs_that_do_not_end_are_given_up(
    tmp_path: Path, served: ServeStandIn, server_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.polls = 1_000
    server = server_of(timeout_seconds=-29.5)  # half a second with what is added to it
    with pytest.raises(DocumentError) as failure:
        await parse(server, tmp_path)
    assert failure.value.code is FailureCode.TIMEOUT
    served.queued = True
    with pytest.raises(ServiceError, match="its queue stands still, with a file at place 1"):
        await parse(server, tmp_path)
    await server.aclose()


async def test_a_file_that_changed_since_it_was_listed_is_not_sent(
    tmp_path: Path, served: ServeStandIn, server_of: Make
) -> None:
    server, path = server_of(), tmp_path / "a.pdf"
    path.write_bytes(one_page_pdf(TEXT))
    document = Document(DocumentId("c/a.pdf"), CollectionName("c"), Revision("0" * 64), 9, ".pdf")
    with pytest.raises(DocumentError, match="changed after it was listed"):
        async with server.converted(path, document):
            raise AssertionError
    assert served.submissions == []


def test_the_key_and_the_version_are_looked_at(served: ServeStandIn) -> None:
    served.api_key = "sesame"
    check_key(served.url, "sesame")
    with pytest.raises(ConfigurationError, match="DOCLING_SERVE_API_KEY"):
        check_key(served.url, "")
    assert ask_versions(served.url).startswith("docling-serve 1.38.2, docling-jobkit 3.9.1, docling 2.143.0")
    served.refusals.append(("/version", 403, '{"detail":"Forbidden."}'))
    assert ask_versions(served.url) == "docling-serve 1.38.2"
    served.stop()
    for ask in (lambda: ask_versions(served.url), lambda: check_key(served.url, "")):
        with pytest.raises(ServiceError, match=r"does not work: ConnectError"):
            ask()


@pytest.mark.parametrize("local", ["http://localhost:5001", "http://127.0.0.1", "http://10.1.2.3:5001", "http://[::1]"])
def test_private_addresses_are_local(local: str) -> None:
    assert ServeSettings(url=local).is_local
    assert not ServeSettings(url="https://docling.example.org").is_local
    assert not ServeSettings(url="http://8.8.8.8").is_local


@pytest.mark.parametrize(
    ("serve", "said"),
    [
        ({"url": "ftp://server"}, "must be an address"),
        ({"url": "http://server:5001/v1"}, "without /v1"),
        ({"url": "http://user:hunter2@server:5001"}, "DOCLING_SERVE_API_KEY"),
        ({"options": {"to_formats": "md"}}, "to_formats cannot be chosen"),
        ({"options": {"picture_description_api": {"url": "http://x"}}}, "options"),
    ],
)
def test_settings_that_cannot_work_are_refused(serve: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        ServeSettings(**serve)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"tabel_mode": "fast"}, "no option tabel_mode"), ({"table_mode": "slow"}, "option table_mode:")],
)
async def test_an_option_that_docling_does_not_know_is_named(
    tmp_path: Path, server_of: Make, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        await parse(server_of(options=options), tmp_path)
