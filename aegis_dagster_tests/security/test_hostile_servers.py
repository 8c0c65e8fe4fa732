"""A server behind the watched root that lies about its files costs at most the file that it lies about."""

import errno
import hashlib
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem

from aegis_dagster.domain.identifiers import CollectionName, DocumentId, Revision
from aegis_dagster.domain.stages import Document
from aegis_dagster.errors import AegisError, DocumentError, FailureCode, RootUnreadable
from aegis_dagster.remote.hang_guard import Patience
from aegis_dagster.settings import watched_root
from aegis_dagster.sources.patient_source import PatientSource
from aegis_dagster.sources.remote_folder import RemoteFolder
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.waiting import until

ORDER = "\x1b[2Jpay at http://evil.example"

pytestmark = pytest.mark.filterwarnings("ignore:UPath 'hostile'")


class Answer:
    """What a server sends when a file is read: blocks, until the script ends."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks

    def __enter__(self) -> "Answer":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def read(self, _: int) -> bytes:
        return next(self._blocks, b"")


class Lies:
    """What the server does to files and listings."""

    sends: ClassVar[dict[str, Iterator[bytes]]] = {}
    listed: ClassVar[list[dict[str, Any]]] = []
    fails: ClassVar[dict[str, Exception]] = {}


def _strip_protocol(cls: Any, path: str) -> str:
    return str(MemoryFileSystem._strip_protocol(path.replace("hostile://", "memory://")))


def _ls(self: Any, path: str, detail: bool = True, **options: Any) -> list[Any]:
    if "list" in Lies.fails:
        raise Lies.fails["list"]
    return [*MemoryFileSystem.ls(self, path, detail=detail, **options), *Lies.listed]


def _open(self: Any, path: str, mode: str = "rb", **options: Any) -> Any:
    name = path.rpartition("/")[2]
    return Answer(Lies.sends[name]) if name in Lies.sends else MemoryFileSystem.open(self, path, mode, **options)


def raised(error: Exception) -> bytes:
    raise error


# A filesystem of fsspec that keeps its files in memory. It lists honestly, and sends honestly, unless told otherwise.
HostileFileSystem: Any = type(
    "HostileFileSystem",
    (MemoryFileSystem,),
    {
        "protocol": "hostile",
        "store": {},
        "pseudo_dirs": [""],
        "find": AbstractFileSystem.find,  # walks the folders
        "ls": _ls,
        "open": _open,
        "_strip_protocol": classmethod(_strip_protocol),
    },
)


@pytest.fixture
def server() -> Iterator[Any]:
    fsspec.register_implementation("hostile", HostileFileSystem, clobber=True)
    made = HostileFileSystem()
    for name in ("bad.txt", "good.txt"):
        made.pipe_file(f"/root/{name}", b"as it was listed")
    yield made
    Lies.sends.clear()
    Lies.listed.clear()
    Lies.fails.clear()
    HostileFileSystem.store.clear()


def root(tmp_path: Path, clock: SetClock, url: str = "hostile:///root") -> RemoteFolder:
    return RemoteFolder(
        url,
        options={},
        ignore=(),
        settle_seconds=0,
        clock=clock,
        downloads=tmp_path / "downloads",
        max_megabytes=1,
    )


def document(name: str, data: bytes = b"as it was listed") -> Document:
    revision = Revision(hashlib.sha256(data).hexdigest())
    return Document(DocumentId(name), CollectionName("c"), revision, len(data), ".txt")


def refused(source: RemoteFolder, tmp_path: Path) -> DocumentError:
    """The error of the bad file. The good one arrives, and nothing is left of either."""
    with pytest.raises(DocumentError) as caught, source.local_copy(document("bad.txt")):
        pass
    with source.local_copy(document("good.txt")) as path:
        assert path.read_bytes() == b"as it was listed"
    assert list((tmp_path / "downloads").iterdir()) == []
    return caught.value


def test_a_download_that_goes_on_after_the_listed_size_is_stopped(server: Any, tmp_path: Path) -> None:
    asked = []

    def endless() -> Iterator[bytes]:
        while True:
            asked.append(1)
            yield b"as it was "

    Lies.sends["bad.txt"] = endless()
    error = refused(root(tmp_path, SetClock()), tmp_path)
    assert (error.code, error.retryable) == (FailureCode.FILE_CHANGED, True)
    assert "more than the 16 bytes that were listed" in error.message
    assert len(asked) == 2


def test_a_download_that_ends_early_is_no_document(server: Any, tmp_path: Path) -> None:
    Lies.sends["bad.txt"] = iter([b"as it"])
    error = refused(root(tmp_path, SetClock()), tmp_path)
    assert (error.code, error.retryable) == (FailureCode.FILE_CHANGED, True)


def test_a_download_that_trickles_fails_its_document_alone(server: Any, tmp_path: Path) -> None:
    clock = SetClock()

    def trickle() -> Iterator[bytes]:
        for letter in b"as it was listed":
            clock.move(20)
            yield bytes([letter])

    Lies.sends["bad.txt"] = trickle()
    error = refused(root(tmp_path, clock), tmp_path)
    assert (error.code, error.retryable) == (FailureCode.TIMEOUT, True)
    assert error.message == "4 of 16 bytes have arrived after 80 s."


def test_a_scan_reads_no_more_of_a_file_than_may_be_parsed(server: Any, tmp_path: Path) -> None:
    taken = []

    def endless() -> Iterator[bytes]:
        while True:
            taken.append(1)
            yield b"x" * 300_000

    Lies.sends["bad.txt"] = endless()
    listing = root(tmp_path, SetClock()).scan({})
    assert listing.files[DocumentId("bad.txt")].revision.startswith("unread-")
    assert len(taken) == 4
    assert listing.files[DocumentId("good.txt")].size_bytes == 16


def test_a_file_that_is_silent_fails_alone_while_the_root_answers(server: Any, tmp_path: Path) -> None:
    goes_on, left = threading.Event(), threading.Event()

    def silent() -> Iterator[bytes]:
        assert goes_on.wait(600)
        yield b"as it was listed"
        left.set()

    Lies.sends["bad.txt"] = silent()
    source = PatientSource(root(tmp_path, SetClock()), Patience(uuid.uuid4().hex, seconds=0.5))
    with pytest.raises(DocumentError) as caught, source.local_copy(document("bad.txt")):
        pass
    assert (caught.value.code, caught.value.retryable) == (FailureCode.TIMEOUT, True)
    with source.local_copy(document("good.txt")) as path:
        assert path.read_bytes() == b"as it was listed"
    goes_on.set()
    until(lambda: not list((tmp_path / "downloads").iterdir()))


@pytest.mark.parametrize("name", ["/root/../../etc/cron.d/job", "/root/./x.txt", "/root/c//x.txt", "/elsewhere/x.txt"])
def test_a_name_that_leads_elsewhere_is_no_document(name: str, server: Any, tmp_path: Path) -> None:
    Lies.listed.append({"name": name, "type": "file", "size": 3})
    listing = root(tmp_path, SetClock()).scan({})
    assert sorted(listing.files) == ["bad.txt", "good.txt"]
    assert [item.reason for item in listing.passed_over] == ["bad_name"]


@pytest.mark.parametrize("name", ["/root/..", "/elsewhere", "/root/c/../c"])
def test_a_folder_that_leads_elsewhere_is_not_entered(name: str, server: Any, tmp_path: Path) -> None:
    server.pipe_file("/elsewhere/x.txt", b"not of the root")
    Lies.listed.append({"name": name, "type": "directory", "size": 0})
    listing = root(tmp_path, SetClock()).scan({})
    assert sorted(listing.files) == ["bad.txt", "good.txt"]


@pytest.mark.parametrize("marks", [{"type": "link"}, {"type": "other"}, {"type": "file", "islink": True}])
def test_a_link_or_a_device_of_a_server_is_not_read(marks: dict[str, Any], server: Any, tmp_path: Path) -> None:
    Lies.listed.append({"name": "/root/link.txt", "size": 3, **marks})
    listing = root(tmp_path, SetClock()).scan({})
    assert sorted(listing.files) == ["bad.txt", "good.txt"]
    assert [item.path for item in listing.passed_over] == ["link.txt"]


def test_no_url_of_this_machines_files_goes_round_the_rules_for_links(tmp_path: Path) -> None:
    assert [watched_root(f"{scheme}://{tmp_path}") for scheme in ("file", "local")] == [tmp_path, tmp_path]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(ORDER), "not known here (OSError)"),
        (OSError(errno.EIO, ORDER), "Input/output error (OSError)"),
        (PermissionError(ORDER), "access is denied"),
        (TimeoutError(ORDER), "no answer in time"),
        (ValueError(ORDER), "not understood"),
    ],
)
def test_the_words_of_a_server_are_not_ours(
    server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception, words: str
) -> None:
    caplog.set_level("INFO")

    source = root(tmp_path, SetClock())
    Lies.sends["bad.txt"] = map(raised, [error])
    assert words in source.scan({}).passed_over[0].remedy
    Lies.sends["bad.txt"] = map(raised, [error])
    with pytest.raises(AegisError) as caught, source.local_copy(document("bad.txt")):
        pass
    Lies.fails["list"] = error
    with pytest.raises(RootUnreadable) as unreadable:
        source.scan({})
    told = (caught.value.message, caught.value.remedy, unreadable.value.message, unreadable.value.remedy)
    assert all(words in each for each in told[::2])
    assert not any("evil" in each for each in told)
    assert "evil.example" in caplog.text and "\x1b" not in caplog.text


class Refuses(BaseHTTPRequestHandler):
    """A web server that puts an order into the reason of its refusal."""

    def do_GET(self) -> None:
        self.send_response(503, ORDER.lstrip("\x1b"))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def test_the_reason_of_a_web_server_is_not_told(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        source = root(tmp_path, SetClock(), f"http://127.0.0.1:{web.server_port}/documents")
        with pytest.raises(RootUnreadable, match="the server answers with status 503") as caught:
            source.scan({})
        web.shutdown()
    assert "evil" not in f"{caught.value} {caught.value.remedy}"
