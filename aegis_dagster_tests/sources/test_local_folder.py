"""Scanning real folders."""

import os
import shutil
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from aegis_dagster.domain.identifiers import DocumentId, Revision
from aegis_dagster.domain.listing import KnownFile, Listing
from aegis_dagster.errors import RootUnreadable
from aegis_dagster.sources.local_folder import WatchedFolder, stamp_of
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster_tests.support.counting import opened_below


def folder(root: Path, settle_seconds: float = 0.0) -> WatchedFolder:
    ignore = ("*.tmp", "~$*")
    return WatchedFolder(root, ignore=ignore, settle_seconds=settle_seconds, clock=SystemClock(), max_megabytes=1)


def reasons(listing: Listing) -> dict[str, str]:
    return {item.path: item.reason for item in listing.passed_over}


def as_known(listing: Listing) -> dict[DocumentId, KnownFile]:
    return {name: KnownFile(file.revision, file.stamp, file.size_bytes) for name, file in listing.files.items()}


def test_equal_names_in_two_folders_and_equal_bytes_in_two_files_are_separate(tmp_path: Path) -> None:
    for name in ("a/x.txt", "b/x.txt", "b/copy.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("same")
    listing = folder(tmp_path).scan({})
    assert sorted(listing.files) == ["a/x.txt", "b/copy.txt", "b/x.txt"]
    assert len({file.revision for file in listing.files.values()}) == 1


def test_hidden_and_temporary_names_are_counted_and_not_taken(tmp_path: Path) -> None:
    for name in (".hidden", "x.tmp", "~$open.docx", "kept.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("x")
    listing = folder(tmp_path).scan({})
    assert (sorted(listing.files), listing.ignored) == (["kept.txt"], 4)


def test_links_stay_inside_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "outside.txt").write_text("secret")
    (root / "inside.txt").write_text("x")
    (root / "leaves.txt").symlink_to(tmp_path / "outside.txt")
    (root / "leaves").symlink_to(tmp_path)
    (root / "broken.txt").symlink_to(root / "nothing")
    (root / "alias.txt").symlink_to(root / "inside.txt")
    (root / "sub" / "loop").symlink_to(root)
    listing = folder(root).scan({})
    assert sorted(listing.files) == ["alias.txt", "inside.txt"]
    assert reasons(listing) == {
        "leaves.txt": "link_leaves_root",
        "leaves": "link_leaves_root",
        "broken.txt": "broken_link",
    }


def test_a_link_that_nothing_can_be_asked_about_is_passed_over_alone(tmp_path: Path) -> None:
    for name in ("a.txt", "sub/a.txt", "sub/z.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    for place in (tmp_path, tmp_path / "sub"):
        (place / "loop").symlink_to("loop")
        (place / "endless").symlink_to("x" * 300)  # any other error: no file can have that name
    listing = folder(tmp_path).scan({})
    assert sorted(listing.files) == ["a.txt", "sub/a.txt", "sub/z.txt"]
    assert reasons(listing) == dict.fromkeys(["loop", "endless", "sub/loop", "sub/endless"], "broken_link")
    assert all(item.keeps_document for item in listing.passed_over)
    assert reasons(folder(tmp_path).scan({}, "sub/loop")) == {"sub/loop": "broken_link"}


def test_a_pipe_is_passed_over_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert reasons(folder(tmp_path).scan({})) == {"pipe": "not_a_file"}


def test_a_name_that_is_not_utf8_is_passed_over(tmp_path: Path) -> None:
    with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9.txt"), "wb") as file:  # noqa: PTH118, PTH123
        file.write(b"x")
    assert list(reasons(folder(tmp_path).scan({})).values()) == ["bad_name"]


def test_a_root_that_is_not_there_is_an_error_and_never_an_empty_listing(tmp_path: Path) -> None:
    with pytest.raises(RootUnreadable, match="Remedy: mount"):
        folder(tmp_path / "unmounted").scan({})


def test_a_root_about_which_nothing_can_be_asked_is_unreadable(tmp_path: Path) -> None:
    source = folder(tmp_path / ("x" * 300))  # an error that is not "no such file", like that of a dead mount
    for ask in (lambda: source.scan({}), lambda: source.holds("a"), lambda: source.is_file("a")):
        with pytest.raises(RootUnreadable, match=r"does not answer: .*nothing was deleted"):
            ask()


def test_a_file_that_grows_between_two_looks_waits(tmp_path: Path) -> None:
    growing = tmp_path / "growing.txt"
    growing.write_text("a")
    (tmp_path / "ready.txt").write_text("b")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            with growing.open("a") as file:
                file.write("a")
            time.sleep(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        listing = folder(tmp_path, settle_seconds=0.3).scan({})
    finally:
        stop.set()
        writer.join()
    assert sorted(listing.files) == ["ready.txt"]
    assert reasons(listing) == {"growing.txt": "still_growing"}


def test_a_file_from_the_future_is_looked_at_twice_and_then_taken(tmp_path: Path) -> None:
    ahead = time.time() + 3600  # the clock of the file server
    for name in ("growing.txt", "ready.txt"):
        (tmp_path / name).write_text("half")
        os.utime(tmp_path / name, (ahead, ahead))

    def go_on() -> None:
        (tmp_path / "growing.txt").write_text("half and the rest")
        os.utime(tmp_path / "growing.txt", (ahead, ahead))

    writer = threading.Timer(0.2, go_on)
    writer.start()
    source = folder(tmp_path, settle_seconds=0.6)
    listing = source.scan({})
    writer.join()
    assert (sorted(listing.files), reasons(listing)) == (["ready.txt"], {"growing.txt": "still_growing"})
    assert sorted(source.scan(as_known(listing)).files) == ["growing.txt", "ready.txt"]


def test_a_known_file_is_not_read_and_a_back_dated_change_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old!")
    first = folder(tmp_path).scan({})
    status = file.stat()
    before = as_known(first)
    trusted = {name: KnownFile(before[name].revision, before[name].stamp, before[name].size_bytes) for name in before}
    assert folder(tmp_path).scan(trusted).files == first.files
    file.write_text("new!")  # same size
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # same modification time
    changed = folder(tmp_path).scan(trusted).files[DocumentId("a.txt")]
    assert changed.revision != first.files[DocumentId("a.txt")].revision


def test_a_scope_sees_only_what_is_below_it(tmp_path: Path) -> None:
    for name in ("a/x.txt", "a/deep/y.txt", "b/z.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert sorted(folder(tmp_path).scan({}, "a").files) == ["a/deep/y.txt", "a/x.txt"]
    assert sorted(folder(tmp_path).scan({}, "a/x.txt").files) == ["a/x.txt"]
    shutil.rmtree(tmp_path / "a")
    assert folder(tmp_path).scan({}, "a").files == {}


def test_known_files_are_not_opened_and_each_folder_is_listed_once(tmp_path: Path) -> None:
    names = [f"{number:02}/{file:02}.txt" for number in range(10) for file in range(20)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    known = {DocumentId(name): KnownFile(Revision("not read"), stamp_of((tmp_path / name).stat())) for name in names}
    source = folder(tmp_path)
    with opened_below(tmp_path) as events:
        listing = source.scan(known)
    assert {file.revision for file in listing.files.values()} == {"not read"} and len(listing.files) == 200
    assert Counter(events) == {"os.scandir": 11}
    with opened_below(tmp_path) as events:
        source.scan({})
    assert Counter(events) == {"os.scandir": 11, "open": 200}
