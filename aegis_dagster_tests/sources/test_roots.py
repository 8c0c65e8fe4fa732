"""One contract for every watched root: a local folder, fsspec's memory filesystem, a bucket of a real S3 server."""

import hashlib
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from aegis_dagster.domain.attachments import AttachmentLimits
from aegis_dagster.domain.identifiers import CollectionName, DocumentId, Revision
from aegis_dagster.domain.listing import KnownFile, Listing, diff_listing
from aegis_dagster.domain.stages import Document
from aegis_dagster.errors import ConfigurationError, DocumentError, FailureCode, RootUnreadable, ServiceError
from aegis_dagster.parsing.mail.attachments import attached_documents, rules_of
from aegis_dagster.ports import DocumentSource
from aegis_dagster.sources.attachments import SourceWithAttachments
from aegis_dagster.sources.local_folder import WatchedFolder
from aegis_dagster.sources.remote_folder import RemoteFolder
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster_tests.support.servers.programs import free_port
from aegis_dagster_tests.support.servers.s3 import S3Server

IGNORE = ("*.tmp", "~$*")
Kind = Literal["local", "memory", "s3"]


@dataclass(frozen=True, slots=True)
class Root:
    """A watched root and a way to change what is in it that is not the adapter under test."""

    kind: Kind
    make: Callable[..., DocumentSource]
    filesystem: Any
    prefix: str
    downloads: Path
    catalog: dict[DocumentId, Document] = field(default_factory=dict)

    def source(self) -> DocumentSource:
        """The adapter, with what is attached to its mails."""
        limits = AttachmentLimits()
        return SourceWithAttachments(
            self.make(),
            read=lambda data, suffix: attached_documents(data, suffix, limits).documents,
            rules=rules_of(limits),
            mails=self.catalog.get,
            copies=self.downloads,
        )

    def write(self, name: str, text: str) -> None:
        """Write a whole file."""
        path = f"{self.prefix}/{name}"
        self.filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
        self.filesystem.pipe_file(path, text.encode())

    def delete(self, name: str) -> None:
        """Delete a file."""
        self.filesystem.rm_file(f"{self.prefix}/{name}")

    def vanish(self) -> None:
        """Take the folder or the bucket away."""
        where = self.prefix.split("/")[0] if self.kind == "s3" else self.prefix
        self.filesystem.rm(where, recursive=True)


@pytest.fixture(params=["local", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Root]:
    kind: Kind = request.param
    downloads = tmp_path / "downloads"
    if kind == "local":
        from fsspec.implementations.local import LocalFileSystem

        folder = tmp_path / "root"
        folder.mkdir()

        def local(settle_seconds: float = 0.0, max_megabytes: int = 1) -> DocumentSource:
            return WatchedFolder(
                folder,
                ignore=IGNORE,
                settle_seconds=settle_seconds,
                clock=SystemClock(),
                max_megabytes=max_megabytes,
            )

        yield Root(kind, local, LocalFileSystem(), str(folder), downloads)
        return
    yield _remote(kind, request, downloads)


def _remote(kind: Kind, request: pytest.FixtureRequest, downloads: Path) -> Root:
    import fsspec

    bucket = f"aegis-{uuid.uuid4().hex[:12]}"
    options: Mapping[str, Any] = {}
    if kind == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        options = server.options
        filesystem = fsspec.filesystem("s3", **options)
        filesystem.mkdir(bucket)
        prefix = f"{bucket}/documents"
        url = f"s3://{prefix}"
    else:
        filesystem = fsspec.filesystem("memory")
        prefix = f"/{bucket}/documents"
        url = f"memory:/{prefix}"
        filesystem.makedirs(prefix)

    def remote(settle_seconds: float = 0.0, max_megabytes: int = 1) -> DocumentSource:
        return RemoteFolder(
            url,
            options=options,
            ignore=IGNORE,
            settle_seconds=settle_seconds,
            clock=SystemClock(),
            downloads=downloads,
            max_megabytes=max_megabytes,
        )

    return Root(kind, remote, filesystem, prefix, downloads)


def known(listing: Listing) -> dict[DocumentId, KnownFile]:
    return {name: KnownFile(file.revision, file.stamp, file.size_bytes) for name, file in listing.files.items()}


def document(listing: Listing, name: str) -> Document:
    file = listing.files[DocumentId(name)]
    return Document(DocumentId(name), CollectionName("c"), file.revision, file.size_bytes, ".txt")


def reasons(listing: Listing) -> dict[str, str]:
    return {item.path: item.reason for item in listing.passed_over}


def test_files_are_listed_with_the_hash_and_the_size_of_their_bytes(root: Root) -> None:
    for name in ("top.txt", "a/x.txt", "a/deep/caf\u00e9 1.txt", "b/x.txt"):
        root.write(name, f"text of {name}")
    listing = root.make().scan({})
    assert sorted(listing.files) == ["a/deep/caf\u00e9 1.txt", "a/x.txt", "b/x.txt", "top.txt"]
    for name, file in listing.files.items():
        data = f"text of {name}".encode()
        assert (file.revision, file.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (listing.passed_over, listing.ignored, listing.unread) == ((), 0, frozenset())


def test_hidden_and_temporary_names_are_counted_and_not_taken(root: Root) -> None:
    for name in (".hidden", "x.TMP", "c/~$open.docx", ".git/config", ".git/objects/1", "c/kept.txt"):
        root.write(name, "x")
    listing = root.make().scan({})
    assert (sorted(listing.files), listing.ignored) == (["c/kept.txt"], 4)


def test_a_known_file_is_not_read_and_a_change_of_the_same_size_is_seen(root: Root) -> None:
    root.write("a.txt", "old!")
    root.write("b.txt", "same")
    first = root.make().scan({})
    trusted = {name: KnownFile(Revision("not read"), file.stamp, file.size_bytes) for name, file in first.files.items()}
    assert {file.revision for file in root.make().scan(trusted).files.values()} == {"not read"}
    time.sleep(0.01)
    root.delete("a.txt")
    root.write("a.txt", "new!")
    again = root.make().scan(known(first))
    assert again.files[DocumentId("a.txt")].revision == hashlib.sha256(b"new!").hexdigest()
    assert again.files[DocumentId("b.txt")] == first.files[DocumentId("b.txt")]


def test_a_scope_is_a_folder_or_one_file(root: Root) -> None:
    for name in ("a/x.txt", "a/deep/y.txt", "ab/z.txt", ".git/w.txt"):
        root.write(name, "x")
    source = root.make()
    assert sorted(source.scan({}, "a").files) == ["a/deep/y.txt", "a/x.txt"]
    assert sorted(source.scan({}, "a/x.txt").files) == ["a/x.txt"]
    assert source.scan({}, "nothing").files == source.scan({}, ".git").files == {}
    assert (source.holds("a"), source.holds("a/x.txt"), source.holds("nothing"), source.holds("")) == (
        *(True, True, False, True),
    )
    assert (source.is_file("a/x.txt"), source.is_file("a"), source.is_file("")) == (True, False, False)


def test_what_time_does_not_suffice_for_is_unread_and_what_is_known_needs_none(root: Root) -> None:
    root.write("old.txt", "old")
    before = known(root.make().scan({}))
    root.write("new.txt", "new")
    listing = root.make().scan(before, read_seconds=0)
    assert (sorted(listing.files), sorted(listing.unread)) == (["old.txt"], ["new.txt"])


def test_a_file_that_changes_between_two_looks_waits(root: Root) -> None:
    root.write("growing.txt", "a")
    root.write("ready.txt", "b")
    stop = threading.Event()

    def grow() -> None:
        text = "a"
        while not stop.wait(0.02):
            text += "a"
            root.write("growing.txt", text)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        listing = root.make(settle_seconds=2.0).scan({})
    finally:
        stop.set()
        writer.join()
    assert (sorted(listing.files), reasons(listing)) == (["ready.txt"], {"growing.txt": "still_growing"})


def test_a_root_that_is_gone_is_an_error_and_never_an_empty_listing(root: Root) -> None:
    root.write("a.txt", "x")
    root.make().scan({})
    root.vanish()
    with pytest.raises(RootUnreadable, match="nothing was deleted"):
        root.make().scan({})


def test_a_local_copy_has_the_bytes_and_goes_with_the_block(root: Root) -> None:
    root.write("c/a.txt", "the bytes")
    listing = root.make().scan({})
    with root.make().local_copy(document(listing, "c/a.txt")) as path:
        assert path.read_bytes() == b"the bytes"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == listing.files[DocumentId("c/a.txt")].revision
    assert not root.downloads.exists() or not list(root.downloads.iterdir())
    with root.make().local_copy(document(listing, "c/a.txt")):
        pass  # the original is still there
    assert root.make().is_file("c/a.txt")


def test_what_is_attached_to_mails_is_listed_and_copied(root: Root) -> None:
    part = 'Content-Type: text/plain\nContent-Disposition: attachment; filename="{name}"\n\n{name} words\n'
    for number in range(9):
        parts = "".join(f"--b\n{part.format(name=name)}" for name in (f"{number}.txt", "two.txt"))
        root.write(
            f"c/{number}.eml", f'Subject: Mail {number}\nContent-Type: multipart/mixed; boundary="b"\n\n{parts}--b--\n'
        )
    source = root.source()
    listing = source.scan({})
    assert len(listing.files) == 27 and not listing.passed_over
    root.catalog.update((name, file.document(name)) for name, file in listing.files.items())
    with source.local_copy(root.catalog[DocumentId("c/7.eml/7.txt")]) as path:
        assert path.read_bytes() == b"7.txt words"
    assert not list(root.downloads.iterdir())
    again = {
        name: KnownFile(file.revision, file.stamp, file.size_bytes, file.mail, file.context)
        for name, file in listing.files.items()
    }
    unchanged = source.scan(again, read_seconds=0)
    assert diff_listing(unchanged, again).unchanged == 27 and not unchanged.unread
    root.delete("c/7.eml")
    assert diff_listing(source.scan(again), again).deleted == ("c/7.eml", "c/7.eml/7.txt", "c/7.eml/two.txt")


@pytest.mark.parametrize("root", ["memory", "s3"], indirect=True)
def test_a_copy_of_other_bytes_or_of_too_many_is_refused(root: Root) -> None:
    root.write("a.txt", "listed")
    root.write("big.txt", "x" * 1_000_001)
    listing = root.make().scan({})
    root.write("a.txt", "changed")
    with pytest.raises(DocumentError) as changed, root.make().local_copy(document(listing, "a.txt")):
        pass
    assert (changed.value.code, changed.value.retryable) == (FailureCode.FILE_CHANGED, True)
    root.delete("a.txt")
    with pytest.raises(DocumentError) as gone, root.make().local_copy(document(listing, "a.txt")):
        pass
    assert (gone.value.code, gone.value.retryable) == (FailureCode.UNREADABLE_FILE, True)
    with pytest.raises(DocumentError) as large, root.make().local_copy(document(listing, "big.txt")):
        pass
    assert (large.value.code, large.value.retryable) == (FailureCode.TOO_LARGE, False)
    assert not root.downloads.exists() or not list(root.downloads.iterdir())


def test_a_file_too_large_to_be_parsed_is_not_read_and_still_known_by_its_bytes(root: Root) -> None:
    root.write("big.txt", "x" * 1_000_001)
    root.write("small.txt", "small")
    first = root.make().scan({})
    unread = first.files[DocumentId("big.txt")]
    assert (unread.revision.startswith("unread-"), unread.size_bytes) == (True, 1_000_001)
    assert root.make().scan(known(first)).files == first.files
    read = root.make(max_megabytes=2).scan(known(first)).files[DocumentId("big.txt")]  # the limit was raised
    assert read.revision == hashlib.sha256(b"x" * 1_000_001).hexdigest()
    if root.kind != "memory":  # it keeps nothing of a file that is renamed
        root.filesystem.mv(f"{root.prefix}/big.txt", f"{root.prefix}/renamed.txt")
        renamed = root.make().scan(known(first))
        assert diff_listing(renamed, known(first)).moved == (("big.txt", "renamed.txt"),)
        root.filesystem.mv(f"{root.prefix}/renamed.txt", f"{root.prefix}/big.txt")
    time.sleep(0.01)
    root.write("big.txt", "y" * 1_000_001)
    assert diff_listing(root.make().scan(known(first)), known(first)).changed == ("big.txt",)


@pytest.mark.parametrize("root", ["memory"], indirect=True)
def test_copies_made_at_once_do_not_disturb_each_other(root: Root) -> None:
    root.write("a.txt", "the bytes")
    source = root.make()
    wanted = document(source.scan({}), "a.txt")

    def copy_often(_: int) -> set[bytes]:
        found = set()
        for _ in range(50):
            with source.local_copy(wanted) as path:
                found.add(path.read_bytes())
        return found

    with source.local_copy(wanted) as one, source.local_copy(wanted) as other:
        assert one.parent != other.parent  # each removes its own folder
    with ThreadPoolExecutor(8) as pool:
        assert set().union(*pool.map(copy_often, range(8))) == {b"the bytes"}
    assert not list(root.downloads.iterdir())


@pytest.mark.parametrize("root", ["memory"], indirect=True)
def test_a_disk_that_takes_no_copy_is_no_fault_of_the_document(root: Root) -> None:
    root.write("a.txt", "the bytes")
    wanted = document(root.make().scan({}), "a.txt")
    root.downloads.write_text("a file where a folder should be")
    with pytest.raises(ServiceError, match="cannot be written to"), root.make().local_copy(wanted):
        pass


@pytest.mark.parametrize("root", ["memory"], indirect=True)
def test_downloads_of_a_killed_process_are_removed(root: Root) -> None:
    ask = "from aegis_dagster.process_identity import new_owner; print(new_owner())"
    owner = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    dead = root.downloads / owner
    dead.mkdir(parents=True)
    (dead / "left").write_text("x")
    root.write("a.txt", "x")
    with root.make().local_copy(document(root.make().scan({}), "a.txt")):
        assert not dead.exists()


def test_an_empty_prefix_of_a_bucket_is_empty_and_a_missing_bucket_is_an_error(
    s3_server: S3Server, tmp_path: Path
) -> None:
    import fsspec

    bucket = f"aegis-{uuid.uuid4().hex[:12]}"
    fsspec.filesystem("s3", **s3_server.options).mkdir(bucket)

    def at(url: str) -> RemoteFolder:
        return RemoteFolder(
            url,
            options=s3_server.options,
            ignore=(),
            settle_seconds=0,
            clock=SystemClock(),
            downloads=tmp_path,
            max_megabytes=1,
        )

    assert at(f"s3://{bucket}/nothing/yet").scan({}).files == at(f"s3://{bucket}").scan({}).files == {}
    with pytest.raises(RootUnreadable, match="nothing was deleted"):
        at(f"s3://{bucket}-missing/documents").scan({})


def test_a_server_that_is_down_is_an_unreadable_root_and_a_broken_service(s3_server: S3Server, tmp_path: Path) -> None:
    import fsspec

    own = S3Server(free_port())
    own.start()
    try:
        filesystem = fsspec.filesystem("s3", **own.options)
        filesystem.mkdir("bucket")
        filesystem.pipe_file("bucket/a.txt", b"x")
        source = RemoteFolder(
            "s3://bucket",
            options=own.options,
            ignore=(),
            settle_seconds=0,
            clock=SystemClock(),
            downloads=tmp_path / "downloads",
            max_megabytes=1,
        )
        listing = source.scan({})
    finally:
        own.stop()
    with pytest.raises(RootUnreadable, match="server runs"):
        source.scan({})
    with pytest.raises(ServiceError), source.local_copy(document(listing, "a.txt")):
        pass
    shutil.rmtree(tmp_path / "downloads", ignore_errors=True)


@pytest.mark.parametrize("url", ["nosuchprotocol://bucket/documents", "s3://"])
def test_a_root_that_nothing_can_open_says_what_to_correct(url: str, tmp_path: Path) -> None:
    source = RemoteFolder(
        url, options={}, ignore=(), settle_seconds=0, clock=SystemClock(), downloads=tmp_path, max_megabytes=1
    )
    with pytest.raises((ConfigurationError, RootUnreadable), match="Remedy"):
        source.scan({})
