"""What may never be answered is given up after silence, asked again when that ends, and never taken for an answer."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from aegis_dagster.domain.identifiers import CollectionName, DocumentId, Revision
from aegis_dagster.domain.listing import KnownFile, Listing
from aegis_dagster.domain.stages import Document
from aegis_dagster.errors import RootUnreadable, ServiceError
from aegis_dagster.remote.hang_guard import Patience, answered, asked
from aegis_dagster.remote.parallel_reads import side_by_side
from aegis_dagster.sources.local_folder import WatchedFolder
from aegis_dagster.sources.patient_source import PatientSource
from aegis_dagster.sources.remote_folder import RemoteFolder
from aegis_dagster.sources.remote_listing import everything_below
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster_tests.support.servers.s3 import S3Server
from aegis_dagster_tests.support.servers.silence import web_server
from aegis_dagster_tests.support.waiting import until

SECONDS = 0.5
DOCUMENT = Document(DocumentId("c/a.txt"), CollectionName("c"), Revision("r"), 1, ".txt")


class Hanging:
    """A root that waits to be told to go on, and counts who waits."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.asked = 0
        self.left = threading.Event()

    def scan(
        self, known: Mapping[DocumentId, KnownFile], scope: str = "", *, read_seconds: float | None = None
    ) -> Listing:
        self._wait()
        return Listing({}, ignored=7)

    def holds(self, scope: str) -> bool:
        self._wait()
        return True

    def is_file(self, scope: str) -> bool:
        self._wait()
        return True

    @contextmanager
    def local_copy(self, document: Document) -> Iterator[Path]:
        self._wait()
        yield Path("copy")
        self.left.set()

    def _wait(self) -> None:
        self.asked += 1
        assert self.goes_on.wait(600)


@pytest.fixture
def root() -> Iterator[Hanging]:
    made = Hanging()
    yield made
    made.goes_on.set()


def patient(root: Hanging, ask_anew_seconds: float = 600) -> PatientSource:
    return PatientSource(root, Patience(uuid.uuid4().hex, seconds=SECONDS, ask_anew_seconds=ask_anew_seconds))


def gives_up(ask: Callable[[], object]) -> None:
    with pytest.raises(RootUnreadable, match="has not answered"):
        ask()


def test_a_root_that_hangs_is_given_up_is_not_asked_again_and_comes_back(root: Hanging) -> None:
    source = patient(root)
    began = time.monotonic()
    gives_up(lambda: source.scan({}))
    assert time.monotonic() - began >= SECONDS
    for ask in (lambda: source.scan({}), lambda: source.holds("c"), lambda: source.is_file("c")):
        gives_up(ask)
    assert root.asked == 1
    other = Hanging()
    other.goes_on.set()
    assert patient(other).holds("c")
    root.goes_on.set()
    until(lambda: not _hangs(lambda: source.scan({})))
    assert source.scan({}).ignored == 7
    assert (source.holds("c"), source.is_file("c")) == (True, True)


def test_a_connection_that_is_dead_for_good_is_replaced_and_three_at_most(root: Hanging) -> None:
    source = patient(root, ask_anew_seconds=0)
    for _ in range(5):
        gives_up(lambda: source.scan({}))
    assert root.asked == 3


def test_what_takes_long_and_gives_signs_of_life_is_not_given_up() -> None:
    patience = Patience(uuid.uuid4().hex, seconds=SECONDS)

    def slowly() -> str:
        for _ in range(15):
            time.sleep(SECONDS / 10)
            answered()
        return "all of it"

    assert patience.ask(slowly) == "all of it"


def test_to_wait_for_files_that_are_written_is_no_silence(tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("x")
    folder = WatchedFolder(tmp_path, ignore=(), settle_seconds=2.5 * SECONDS, clock=SystemClock(), max_megabytes=1)
    source = PatientSource(folder, Patience(str(tmp_path), seconds=SECONDS))
    assert sorted(source.scan({}).files) == ["new.txt"]


def test_what_is_given_up_goes_no_further_when_it_comes_back() -> None:
    patience, goes_on, further = Patience(uuid.uuid4().hex, seconds=SECONDS), threading.Event(), threading.Event()

    def walk() -> None:
        assert goes_on.wait(600)
        answered()
        further.set()

    gives_up(lambda: patience.ask(walk))
    goes_on.set()
    until(lambda: not _hangs(lambda: patience.ask(answered)))  # its thread has ended
    assert not further.is_set()


def _hangs(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except RootUnreadable:
        return True
    return False


def test_what_the_root_raises_is_raised() -> None:
    def refuse() -> None:
        raise PermissionError("not you")

    with pytest.raises(PermissionError, match="not you"):
        Patience(uuid.uuid4().hex, seconds=60).ask(refuse)


def test_a_copy_that_never_comes_is_no_fault_of_the_document_and_is_left_when_it_comes(root: Hanging) -> None:
    source = patient(root)
    with pytest.raises(ServiceError, match="has not answered"), source.local_copy(DOCUMENT):
        pass
    assert not root.left.is_set()
    root.goes_on.set()
    assert root.left.wait(200)
    root.left.clear()
    with source.local_copy(DOCUMENT) as path:
        assert (path, root.left.is_set()) == (Path("copy"), False)
    assert root.left.is_set()


def test_objects_that_hang_are_left_behind_until_as_many_do_as_are_read_at_once() -> None:
    patience, goes_on, names_read = Patience(uuid.uuid4().hex, seconds=SECONDS), threading.Event(), list[str]()

    def read(name: str) -> str:
        names_read.append(name)
        if name.startswith("hangs"):
            assert goes_on.wait(600)
        return f"read {name}"

    def both(*names: str) -> dict[str, str]:
        return patience.ask(lambda: dict(side_by_side(read, names, at_once=2, instead=lambda name: "silent")))

    assert both("hangs 1", "a", "b") == {"hangs 1": "silent", "a": "read a", "b": "read b"}
    assert both("a", "hangs 1") == {"a": "read a", "hangs 1": "silent"}
    assert names_read.count("hangs 1") == 1
    gives_up(lambda: both("hangs 2", "c", "hangs 3", "hangs 4"))
    goes_on.set()
    until(lambda: not _hangs(lambda: both("hangs 1")))
    assert both("hangs 1") == {"hangs 1": "read hangs 1"}


def test_each_page_of_a_bucket_is_a_sign_of_life(s3_server: S3Server) -> None:
    import fsspec

    filesystem, bucket = fsspec.filesystem("s3", **s3_server.options), f"aegis-{uuid.uuid4().hex[:12]}"
    filesystem.mkdir(bucket)
    filesystem.pipe_file(f"{bucket}/a.txt", b"x")

    def signs() -> int:
        listed, unreadable = everything_below(filesystem, bucket, root=bucket)
        assert (list(listed), unreadable) == ([f"{bucket}/a.txt"], {})
        question = asked()
        return question.signs if question else 0

    assert Patience(uuid.uuid4().hex, seconds=60).ask(signs) > 1  # the page, and the end


def test_a_folder_that_is_not_listed_in_time_keeps_its_documents(tmp_path: Path) -> None:
    """fsspec takes the time limit of a filesystem for an empty folder."""
    import aiohttp

    for name in ("c/a.txt", "d/b.txt"):
        (tmp_path / "served" / name).parent.mkdir(parents=True)
        (tmp_path / "served" / name).write_text(name)
    with web_server(tmp_path / "served") as server:
        source = RemoteFolder(
            server.url,
            options={"client_kwargs": {"timeout": aiohttp.ClientTimeout(total=1)}},
            ignore=(),
            settle_seconds=0,
            clock=SystemClock(),
            downloads=tmp_path / "downloads",
            max_megabytes=1,
        )
        assert sorted(source.scan({}).files) == ["c/a.txt", "d/b.txt"]
        server.silence("/d")
        listing = source.scan({})
        assert sorted(listing.files) == ["c/a.txt"]
        assert [(item.path, item.reason, item.keeps_document) for item in listing.passed_over] == [
            ("d/", "unreadable", True)
        ]
        server.silence("/")
        with pytest.raises(RootUnreadable, match="nothing was deleted"):
            source.scan({})
