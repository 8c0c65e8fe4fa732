"""What an artifact store says when its server fails, and what killed writers leave there."""

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import ConfigurationError, ServiceError
from aegis_dagster.stores.bucket_artifacts import BucketArtifacts
from aegis_dagster.stores.read_cache import ReadCache
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.missing import missing
from aegis_dagster_tests.support.servers.programs import free_port
from aegis_dagster_tests.support.servers.s3 import S3Server
from aegis_dagster_tests.support.waiting import until

NAME, OTHER = "ab" * 32, "cd" * 32
ELSEWHERE = "elsewhere~7~00000000-0000-0000-0000-000000000000:7~0a1b2c3d"  # a process of another machine


class Refusing(ThreadingHTTPServer):
    """Speaks as an S3 server that answers everything with one error, or with nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Refuse)
        self.status, self.code = 503, "ServiceUnavailable"
        self.silent = threading.Event()
        self.over = threading.Event()

    @property
    def options(self) -> dict[str, Any]:
        """What reaches it and asks only once."""
        patience = {"connect_timeout": 30, "read_timeout": 60, "retries": {"max_attempts": 0}}
        return {"endpoint_url": f"http://127.0.0.1:{self.server_address[1]}", "config_kwargs": patience}


class _Refuse(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # clients ask whether they may send a body

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Refusing)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if server.silent.is_set():
            server.over.wait(60)
        body = f"<Error><Code>{server.code}</Code><Message>secret words</Message></Error>".encode()
        with suppress(OSError):
            self.send_response(server.status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

    do_PUT = do_POST = do_HEAD = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def refusing() -> Iterator[Refusing]:
    server = Refusing()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


def store_at(url: str, folder: Path, *, options: dict[str, Any] | None = None, patience: float = 60) -> BucketArtifacts:
    cache = ReadCache(folder / "cache", most_bytes=1_000_000)
    local = folder / "local"
    return BucketArtifacts(
        url, options=options or {}, root=local, cache=cache, clock=SetClock(), patience_seconds=patience
    )


def publish(store: BucketArtifacts, name: str = NAME) -> None:
    with store.staging(Stage.PARSE, name, replace=False) as folder:
        (folder / "document.json").write_text(name)


@pytest.mark.parametrize(
    ("status", "code", "said", "helps"),
    [
        (503, "ServiceUnavailable", "answers with status 503", "see that its server runs"),
        (500, "InternalError", "answers with status 500", "see that its server runs"),
        (404, "NoSuchBucket", "the bucket is not there", "nothing was deleted"),
        (403, "AccessDenied", "access is denied", "s3:ListBucket"),
        (403, "InvalidAccessKeyId", "the key is not known", "AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "secret of the key is wrong", "AWS_SECRET_ACCESS_KEY"),
        (403, "RequestTimeTooSkewed", "clock differs too much", "set the clock"),
        (400, "ExpiredToken", "the token has expired", "renew the credentials"),
    ],
)
def test_each_refusal_of_the_server_is_told_by_its_name_and_is_no_documents_fault(
    refusing: Refusing, tmp_path: Path, status: int, code: str, said: str, helps: str
) -> None:
    refusing.status, refusing.code = status, code
    url = f"s3://{code.lower()}/a"
    store = store_at(url, tmp_path, options=refusing.options)
    for do in (
        lambda: store.exists(Stage.PARSE, NAME),
        lambda: store.damage(Stage.PARSE, NAME),
        lambda: publish(store),
        lambda: store.clean_staging(),
        lambda: store.check(),
        lambda: store.withdraw([(Stage.PARSE, NAME)]),
    ):
        with pytest.raises(ServiceError) as told:
            do()
        assert said in told.value.message and helps in told.value.remedy
        assert url in told.value.message and "secret words" not in str(told.value)
    store.close()  # says nothing


def test_a_server_that_is_silent_is_given_up_and_asked_again_when_it_answers(
    refusing: Refusing, tmp_path: Path
) -> None:
    refusing.silent.set()
    store = store_at("s3://silent/a", tmp_path, options=refusing.options, patience=0.5)
    with pytest.raises(ServiceError, match=r"has not answered for 0\.5 s"):
        publish(store)
    refusing.silent.clear()
    refusing.over.set()

    def refused_at_once() -> bool:
        try:
            store.exists(Stage.PARSE, NAME)
        except ServiceError as error:
            return "503" in error.message
        return False

    until(refused_at_once, "an answer")


def test_a_server_that_was_stopped_and_started_again_is_used_again(s3_server: S3Server, tmp_path: Path) -> None:
    import fsspec

    server = S3Server(free_port())
    store = store_at("s3://stopped/a", tmp_path, options=server.options)
    server.start()
    try:
        fsspec.filesystem("s3", **server.options).mkdir("stopped")
        publish(store)
        assert store.exists(Stage.PARSE, NAME)
        server.stop()
        with pytest.raises(ServiceError, match="the connection fails"):
            publish(store, OTHER)
        server.start()  # what it held is gone
        with pytest.raises(ServiceError, match="the bucket is not there"):
            publish(store, OTHER)
        fsspec.filesystem("s3", **server.options).mkdir("stopped")
        assert store.damage(Stage.PARSE, NAME) == "it is gone"
        publish(store)
        publish(store, OTHER)
        assert store.damage(Stage.PARSE, OTHER, in_store=True) is None
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("url", "options"),
    [("nothing-of-this-name://x/y", {}), ("s3://bucket/a", {"no_such_option": 1})],
)
def test_what_cannot_be_opened_is_the_operators_to_correct(tmp_path: Path, url: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"artifacts\.url"):
        store_at(url, tmp_path, options=options).check()


@pytest.mark.parametrize("name", ["../outside.txt", "/outside.txt", "a/../../outside.txt", "", "checksums.json"])
def test_a_manifest_that_leads_out_of_its_folder_is_damaged(tmp_path: Path, name: str) -> None:
    store = store_at(f"file://{tmp_path}/share", tmp_path)
    publish(store)
    (manifest,) = (tmp_path / "share" / "parse").rglob("*.json")
    manifest.write_text(manifest.read_text().replace('"document.json"', f'"{name}"'))
    assert store.damage(Stage.PARSE, NAME) == "its manifest cannot be read"
    assert not store.path(Stage.PARSE, NAME).exists() and not list(tmp_path.rglob("outside.txt"))
    store.delete(Stage.PARSE, NAME)
    assert not store.exists(Stage.PARSE, NAME)


WRITER = """
import sys
from pathlib import Path
from aegis_dagster.domain.stages import Stage
from aegis_dagster_tests.stores.test_bucket_failures import store_at
folder = Path(sys.argv[1])
store = store_at(f"file://{folder}/share", folder / "writer")
with store.staging(Stage.PARSE, "cd" * 32, replace=False) as made:
    for number in range(3000):
        (made / f"{number}.txt").write_text(str(number))
print("published", flush=True)
"""


def test_what_a_killed_writer_sent_is_seen_by_nobody_and_removed_by_the_next(tmp_path: Path) -> None:
    share = tmp_path / "share"
    store = store_at(f"file://{share}", tmp_path)
    publish(store)
    store.close()
    kept = sorted(path for path in share.rglob("*") if path.is_file())
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    until(lambda: len(list(share.glob("data/*/*/*"))) > 20, "an upload")
    process.kill()
    assert process.communicate()[0] == b""  # it had not ended
    assert not store.exists(Stage.PARSE, OTHER) and len(list(share.glob("data/*/*/*"))) > 20
    store.clean_staging()
    store.close()
    assert sorted(path for path in share.rglob("*") if path.is_file()) == kept
    assert store.damage(Stage.PARSE, NAME, in_store=True) is None


def test_a_writer_of_another_machine_is_left_alone_for_a_day(tmp_path: Path) -> None:
    import fsspec

    memory, top = fsspec.filesystem("memory"), f"/{uuid.uuid4().hex}"
    store = store_at(f"memory:/{top}", tmp_path)
    publish(store)
    theirs = [f"{top}/leftovers/{ELSEWHERE}.json", f"{top}/data/{ELSEWHERE}/parse-{NAME}-0a1b2c/{'0' * 64}"]
    memory.pipe_file(theirs[0], f'{{"data": ["{ELSEWHERE}"]}}'.encode())
    memory.pipe_file(theirs[1], b"half of a result")
    before = set(memory.find(top))
    for age in (timedelta(0), timedelta(hours=23)):
        for path in theirs:
            memory.store[path].created = datetime.now(UTC) - age
        store.clean_staging()
        store.sweep_unused()
        assert set(memory.find(top)) == before
    memory.store[theirs[0]].created = datetime.now(UTC) - timedelta(days=2)  # it went on after a day
    store.clean_staging()
    assert set(memory.find(top)) == before
    memory.store[theirs[1]].created = datetime.now(UTC) - timedelta(days=2)
    store.clean_staging()
    assert set(memory.find(top)) == before - set(theirs)
    assert store.damage(Stage.PARSE, NAME, in_store=True) is None


def test_a_deletion_that_was_killed_is_finished_and_costs_no_other_artifact(tmp_path: Path) -> None:
    share = tmp_path / "share"
    store = store_at(f"file://{share}", tmp_path)
    publish(store)
    publish(store, OTHER)
    script = WRITER.partition("with ")[0] + (
        f'import os\nstore.withdraw([(Stage.PARSE, "{NAME}")])\nos.kill(os.getpid(), 9)\n'
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=100)
    assert store.damage(Stage.PARSE, NAME) == "it is gone" and len(list(share.glob("data/*/*"))) == 2
    store.clean_staging()
    assert [path.name.partition("-")[2][:64] for path in share.glob("data/*/*") if list(path.iterdir())] == [OTHER]
    assert store.damage(Stage.PARSE, OTHER, in_store=True) is None


def test_what_no_manifest_names_is_swept_after_a_day_by_an_audit_that_repairs(tmp_path: Path) -> None:
    share = tmp_path / "share"
    store = store_at(f"file://{share}", tmp_path)
    publish(store)
    lost = share / "data" / ELSEWHERE / f"parse-{OTHER}-0a1b2c" / ("0" * 64)
    lost.parent.mkdir(parents=True)
    lost.write_text("lost")
    foreign = share / "data" / "notes.txt"
    foreign.write_text("somebody else's")
    old = datetime.now(UTC).timestamp() - 2 * 86_400
    store.sweep_unused()
    assert lost.exists()
    for path in share.rglob("*"):
        os.utime(path, (old, old))
    store.sweep_unused()
    assert not lost.exists() and foreign.exists()
    assert store.damage(Stage.PARSE, NAME, in_store=True) is None


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """A folder that takes nothing, as a full disk: a file system of 4 kB, mounted for the block."""
    folder.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(folder)], check=False).returncode:
        missing("No filesystem can be mounted here; run the tests as root.")
    try:
        (folder / "filled").write_bytes(b"x" * 4096)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_as_one_and_not_as_the_servers_fault(tmp_path: Path) -> None:
    writer = store_at(f"file://{tmp_path}/share", tmp_path / "writer")
    publish(writer)
    store = store_at(f"file://{tmp_path}/share", tmp_path / "full")
    with full_disk(tmp_path / "full" / "cache"), pytest.raises(ServiceError, match="the disk is full"):
        store.damage(Stage.PARSE, NAME)
    assert store.damage(Stage.PARSE, NAME) is None
