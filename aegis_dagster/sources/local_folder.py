"""The watched root as a local folder.

A file whose stamp is known is not read. A root or folder that cannot be read is an error, never an empty
listing: an unmounted share must not look like a mass deletion. Everything is opened below a descriptor of the root
(`opening.py`), and a file only if it is the one that was listed.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aegis_dagster.domain.identifiers import DocumentId, Revision, collection_of
from aegis_dagster.domain.listing import KnownFile, Listing, PassedOver, SeenFile, SeenFiles
from aegis_dagster.domain.stages import Document
from aegis_dagster.errors import DocumentError, FailureCode, RootUnreadable
from aegis_dagster.opening import is_swapped, open_file_below, open_folder, open_folder_below
from aegis_dagster.ports import Clock
from aegis_dagster.remote.hang_guard import answered, rest
from aegis_dagster.sources.listing_rules import (
    NameRules,
    ReadingTime,
    is_fresh,
    is_known,
    revision_of_unread,
    still_growing,
)

_BLOCK_BYTES = 2**18  # bytes read at a time


@dataclass(slots=True)
class _Scan:
    root: int  # a descriptor of the root
    largest: int  # bytes of a file that is read
    seen: SeenFiles
    files: dict[DocumentId, os.stat_result] = field(default_factory=dict)  # those that are not as they are known
    targets: dict[DocumentId, str] = field(default_factory=dict)  # of links: the file's own path below the root
    passed_over: list[PassedOver] = field(default_factory=list)
    unread: set[DocumentId] = field(default_factory=set)
    ignored: int = 0


class WatchedFolder:
    """A local folder with the documents as its files."""

    def __init__(
        self,
        root: Path,
        *,
        ignore: tuple[str, ...],
        settle_seconds: float,
        clock: Clock,
        max_megabytes: int,
        home: Path | None = None,
    ) -> None:
        """max_megabytes: a larger file is not read, because parsing would refuse it.

        home: our own folder; if it is below the root, its files are no documents.
        """
        self.root = root
        self._home = os.path.realpath(home) if home else None
        self._settle_seconds = settle_seconds
        self._clock = clock
        self._names = NameRules(ignore)
        self._largest = max_megabytes * 1_000_000

    def scan(
        self, known: Mapping[DocumentId, KnownFile], scope: str = "", *, read_seconds: float | None = None
    ) -> Listing:
        """Everything below `scope` (a folder or file relative to the root; "" is the root).

        read_seconds: new files not read by then are `unread`. Raises RootUnreadable if the root cannot be read; an
        unreadable folder below it is passed over with its content.
        """
        self._require_root()
        with self._opened() as root:
            found = _Scan(root, self._largest, SeenFiles(known))
            self._begin(scope, found)
            self._drop_growing(found)
            reading = ReadingTime(read_seconds)
            for document_id, status in found.files.items():
                self._look(document_id, status, found, reading)
        return Listing(found.seen, tuple(found.passed_over), found.ignored, frozenset(found.unread))

    def holds(self, scope: str) -> bool:
        """Whether there is a file or folder at a path below the root. Raises RootUnreadable."""
        with self._answering():
            return (self.root / scope).exists()

    def is_file(self, scope: str) -> bool:
        """Whether the path below the root is a file. Raises RootUnreadable."""
        with self._answering():
            return (self.root / scope).is_file()

    @contextmanager
    def local_copy(self, document: Document) -> Iterator[Path]:
        """Where a document's bytes are: a path without links.

        Raises DocumentError FILE_CHANGED if the document has become a link out of the root, or lies behind a link.
        """
        root, own = os.path.realpath(self.root), Path(os.path.realpath(self.root / document.id))
        behind = Path(os.path.realpath((self.root / document.id).parent))
        if behind != Path(root, document.id).parent or not own.is_relative_to(root):
            raise DocumentError(
                FailureCode.FILE_CHANGED,
                "A link has taken the place of the file, or of a folder above it, since it was listed.",
                remedy="nothing; the next run lists it again.",
                retryable=True,
            )
        yield own

    def _require_root(self) -> None:
        with self._answering():
            there = self.root.is_dir()
        if not there:
            raise RootUnreadable(
                f"The watched root {self.root} is not there or is no folder.",
                remedy="mount or create it, or set AEGIS_ROOT; nothing was deleted.",
            )

    @contextmanager
    def _opened(self) -> Iterator[int]:
        with self._answering():
            root = open_folder(self.root)
        try:
            yield root
        finally:
            os.close(root)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """A mount whose server is gone exists, but every request to it is an error (ENOTCONN, ESTALE, EIO)."""
        try:
            yield
        except OSError as error:
            raise RootUnreadable(
                f"The watched root {self.root} does not answer: {error.strerror}.",
                remedy="mount it again, make it readable for this user, or set AEGIS_ROOT; nothing was deleted.",
            ) from error

    def _begin(self, scope: str, found: _Scan) -> None:
        """Walk from the root down to the scope by the rules of every walk, then everything below it."""
        prefix, parts = "", scope.split("/") if scope else []
        for number, name in enumerate(parts):
            pending: list[str] = []
            try:
                for entry in _each(found.root, prefix):
                    if entry.name == name:
                        self._sort_in(entry, prefix, pending, found)
            except OSError as error:
                self._unreadable(prefix, error, found)
                return
            if not pending:  # gone, a file, or something that is not followed
                if number < len(parts) - 1:
                    found.files.clear()
                    found.seen = SeenFiles(found.seen.known)
                return
            prefix = pending[0]
        self._walk(prefix, found)

    def _walk(self, prefix: str, found: _Scan) -> None:
        pending = [prefix]
        while pending:
            prefix = pending.pop()
            try:
                for entry in _each(found.root, prefix):
                    self._sort_in(entry, prefix, pending, found)
            except OSError as error:
                self._unreadable(prefix, error, found)

    def _unreadable(self, prefix: str, error: OSError, found: _Scan) -> None:
        if not prefix:
            raise RootUnreadable(
                f"The watched root {self.root} cannot be read: {error.strerror}.",
                remedy="make it readable for this user; nothing was deleted.",
            ) from error
        remedy = f"make it readable for this user ({error.strerror}); its documents are kept meanwhile."
        found.passed_over.append(PassedOver(prefix, "unreadable", remedy, True))

    def _sort_in(self, entry: os.DirEntry[str], prefix: str, pending: list[str], found: _Scan) -> None:
        name = prefix + entry.name
        if self._names.ignored(entry.name):
            found.ignored += 1
            return
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            found.passed_over.append(PassedOver(shown, "bad_name", "rename it: its name is not UTF-8.", False))
            return
        try:
            if entry.is_symlink():
                self._follow(entry, name, found)
            elif entry.is_dir():
                self._enter(name, pending, found)
            else:
                _take(name, entry.stat(), found)
        except FileNotFoundError:  # deleted since the folder was listed
            return
        except OSError as error:  # of this entry: the folder itself can be listed
            remedy = f"make it readable for this user ({error.strerror})."
            for path in (name, f"{name}/"):  # it is unknown whether it is a folder
                found.passed_over.append(PassedOver(path, "unreadable", remedy, True))

    def _enter(self, name: str, pending: list[str], found: _Scan) -> None:
        if self._home is not None and os.path.realpath(self.root / name) == self._home:
            found.ignored += 1
        else:
            pending.append(name + "/")

    def _follow(self, entry: os.DirEntry[str], name: str, found: _Scan) -> None:
        """Follow a link to a file of the same collection: the policy of a collection must hold for all that lies in it.

        A linked folder could form a cycle; one inside the root is found by its own path.
        """
        target, root = os.path.realpath(self.root / name), os.path.realpath(self.root)
        if target == self._home:
            found.ignored += 1
            return
        try:
            status = entry.stat()
        except OSError as error:  # its target is gone or forbidden, or the link leads to itself
            remedy = f"restore the link's target or remove it ({error.strerror})."
            found.passed_over.append(PassedOver(name, "broken_link", remedy, True))
            return
        if not Path(target).is_relative_to(root):
            remedy = "copy the file into the watched root: links that leave it are not followed."
            found.passed_over.append(PassedOver(name, "link_leaves_root", remedy, False))
        elif target != root and _collection_at(target, root, status) != collection_of(DocumentId(name)):
            remedy = "copy the file into this collection: a file is treated by the policy of the folder it lies in."
            found.passed_over.append(PassedOver(name, "link_leaves_collection", remedy, False))
        elif not stat.S_ISDIR(status.st_mode):
            _take(name, status, found)
            found.targets[DocumentId(name)] = os.path.relpath(target, root)

    def _drop_growing(self, found: _Scan) -> None:
        """Check files written just now twice; those that changed in between wait for the next scan."""
        now = self._clock.now().timestamp()
        fresh = [
            document_id
            for document_id, status in found.files.items()
            if is_fresh(status.st_mtime, now, self._settle_seconds)
        ]
        if not fresh:
            return
        rest(self._settle_seconds)
        for document_id in fresh:
            answered()
            try:
                status = (self.root / document_id).stat()
            except OSError:
                status = None
            if status is None or stamp_of(status) != stamp_of(found.files[document_id]):
                del found.files[document_id]
                found.passed_over.append(still_growing(document_id))

    def _look(
        self,
        document_id: DocumentId,
        status: os.stat_result,
        found: _Scan,
        reading: ReadingTime,
    ) -> None:
        stamp = stamp_of(status)
        if status.st_size > self._largest:
            found.seen[document_id] = SeenFile(revision_of_unread(_lasting_marks(status)), stamp, status.st_size)
            return
        if reading.over():
            found.unread.add(document_id)
            return
        try:
            revision = _hash_listed(found, document_id)
        except OSError as error:
            if is_swapped(error):
                found.passed_over.append(still_growing(document_id))
                return
            remedy = f"make it readable for this user ({error.strerror})."
            found.passed_over.append(PassedOver(document_id, "unreadable", remedy, True))
            return
        found.seen[document_id] = SeenFile(revision, stamp, status.st_size)


def _each(root: int, prefix: str) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder below the root. Each entry, and each answer about one, counts as a sign of life.

    An entry is asked about through the descriptor of its folder: its `path` is only its name.
    """
    folder = open_folder_below(root, prefix.rstrip("/")) if prefix else os.dup(root)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                answered()
                yield entry
    finally:
        os.close(folder)


def _collection_at(path: str, root: str, status: os.stat_result) -> str:
    """The collection of what lies at a path below the root: a top-level folder is one itself."""
    relative = Path(path).relative_to(root)
    return relative.parts[0] if stat.S_ISDIR(status.st_mode) else collection_of(DocumentId(relative.as_posix()))


def _take(name: str, status: os.stat_result, found: _Scan) -> None:
    if stat.S_ISREG(status.st_mode):
        document_id, stamp = DocumentId(name), stamp_of(status)
        readable = status.st_size <= found.largest
        if found.seen.has(document_id, stamp) or is_known(found.seen.known.get(document_id), stamp, readable=readable):
            found.seen.as_known(document_id)
        else:
            found.files[document_id] = status
    else:
        remedy = "remove it: it is a device, pipe or socket."
        found.passed_over.append(PassedOver(name, "not_a_file", remedy, False))


def stamp_of(status: os.stat_result) -> str:
    """Changes whenever the bytes may have, even if a copy keeps size and modification time (ctime, inode)."""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"


def _lasting_marks(status: os.stat_result) -> str:
    """The marks that a file keeps when it is renamed, and loses when it is written."""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"


def _hash_listed(found: _Scan, document_id: DocumentId) -> Revision:
    """sha256 of the bytes of a listed file. Raises OSError, also if another file has taken its place."""
    descriptor = open_file_below(found.root, found.targets.get(document_id, document_id))
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        listed, opened = found.files[document_id], os.fstat(descriptor)
        if (listed.st_dev, stamp_of(listed)) != (opened.st_dev, stamp_of(opened)):
            raise OSError(errno.EINVAL, "It is not the file that was listed")
        hasher, block = hashlib.sha256(), memoryview(bytearray(_BLOCK_BYTES))
        while size := file.readinto(block):
            hasher.update(block[:size])
            answered()
    answered()
    return Revision(hasher.hexdigest())
