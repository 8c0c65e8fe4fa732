"""What takes the place of a listed file is neither read nor waited for."""

import os
import shutil
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.domain.listing import Listing
from aegis_dagster.domain.stages import Document
from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.opening import open_file, open_file_below, open_folder, open_folder_below
from aegis_dagster.parsing.tasks import parse_task
from aegis_dagster.sources.local_folder import WatchedFolder
from aegis_dagster.stores.clock import SystemClock

OPTIONS = {"max_pages": 10, "max_megabytes": 1, "pdf_route": "rules", "docling_models": None, "ocr": False}


class SwappingClock(SystemClock):
    """A clock that a scan asks after it has listed everything and before it reads: then it swaps something."""

    def __init__(self, swap: Callable[[], object]) -> None:
        self._swap = swap

    def now(self) -> datetime:
        self._swap()
        return super().now()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a document, and a secret beside it with equal bytes: only the place tells them apart."""
    for folder in ("root/c", "secrets"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.txt").write_text("the same words")
    return tmp_path / "root"


def scan(root: Path, swap: Callable[[], object] = lambda: None) -> Listing:
    clock = SwappingClock(swap)
    return WatchedFolder(root, ignore=(), settle_seconds=0, clock=clock, max_megabytes=1).scan({})


def a_link(root: Path) -> None:
    (root / "c" / "a.txt").unlink()
    (root / "c" / "a.txt").symlink_to(root.parent / "secrets" / "a.txt")


def a_link_for_its_folder(root: Path) -> None:
    shutil.rmtree(root / "c")
    (root / "c").symlink_to(root.parent / "secrets")


def a_pipe(root: Path) -> None:
    (root / "c" / "a.txt").unlink()
    os.mkfifo(root / "c" / "a.txt")


def another_file(root: Path) -> None:
    (root.parent / "secrets" / "a.txt").rename(root / "c" / "a.txt")


def a_folder(root: Path) -> None:
    (root / "c" / "a.txt").unlink()
    (root / "c" / "a.txt").mkdir()


SWAPS = [a_link, a_link_for_its_folder, a_pipe, a_folder]


@pytest.mark.parametrize("swap", [*SWAPS, another_file])
def test_what_takes_a_files_place_after_it_was_listed_is_not_read(swap: Callable[[Path], None], root: Path) -> None:
    listing = scan(root, lambda: swap(root))
    assert listing.files == {}
    assert [(item.path, item.reason, item.keeps_document) for item in listing.passed_over] == [
        ("c/a.txt", "still_growing", True)
    ]


@pytest.mark.parametrize("swap", SWAPS)
@pytest.mark.parametrize("after", ["listing", "handing over"])
def test_what_takes_a_files_place_before_it_is_parsed_is_not_read(
    swap: Callable[[Path], None], after: str, root: Path, tmp_path: Path
) -> None:
    seen = scan(root).files[DocumentId("c/a.txt")]
    document = Document(DocumentId("c/a.txt"), CollectionName("c"), seen.revision, seen.size_bytes, ".txt")
    source = WatchedFolder(root, ignore=(), settle_seconds=0, clock=SystemClock(), max_megabytes=1)
    (tmp_path / "out").mkdir()
    if after == "listing":
        swap(root)
    with pytest.raises(DocumentError) as caught, source.local_copy(document) as path:
        if after == "handing over":
            swap(root)
        payload = {"path": str(path), "suffix": ".txt", "out_dir": str(tmp_path / "out"), "options": OPTIONS}
        parse_task({**payload, "revision": document.revision})
    assert (caught.value.code, caught.value.retryable) == (FailureCode.FILE_CHANGED, True)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_link_inside_the_root_is_read_and_one_that_is_turned_elsewhere_is_not(root: Path, tmp_path: Path) -> None:
    link = root / "c" / "alias.txt"
    link.symlink_to("a.txt")
    seen = scan(root).files[DocumentId("c/alias.txt")]
    document = Document(DocumentId("c/alias.txt"), CollectionName("c"), seen.revision, seen.size_bytes, ".txt")
    source = WatchedFolder(root, ignore=(), settle_seconds=0, clock=SystemClock(), max_megabytes=1)
    with source.local_copy(document) as path:
        assert path == (root / "c" / "a.txt").resolve()

    def turn() -> None:
        link.unlink()
        link.symlink_to(root.parent / "secrets" / "a.txt")

    assert sorted(scan(root, turn).files) == ["c/a.txt", "c/alias.txt"]  # the file that the link led to is read
    with pytest.raises(DocumentError, match="A link has taken the place"), source.local_copy(document):
        pass


def test_a_root_may_itself_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mounted").symlink_to(root)
    assert list(scan(tmp_path / "mounted").files) == ["c/a.txt"]


@pytest.mark.parametrize("path", ["../secrets/a.txt", "c/../../secrets/a.txt", "c//a.txt", "./c/a.txt", "link/a.txt"])
def test_nothing_is_opened_through_a_name_that_leads_out(path: str, root: Path) -> None:
    (root / "link").symlink_to(root.parent / "secrets")
    top = open_folder(root)
    try:
        os.close(open_file_below(top, "c/a.txt"))
        os.close(open_folder_below(top, "c"))
        with pytest.raises(OSError):
            open_file_below(top, path)
        with pytest.raises(OSError):
            open_folder_below(top, path.removesuffix("/a.txt"))
    finally:
        os.close(top)


def test_a_device_is_not_read() -> None:
    with pytest.raises(OSError, match="no regular file"):
        open_file(Path("/dev/zero"))


def test_no_descriptor_stays_open(root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for swap in SWAPS:
        shutil.rmtree(root)
        (root / "c").mkdir(parents=True)
        (root / "c" / "a.txt").write_text("the same words")
        scan(root, partial(swap, root))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
