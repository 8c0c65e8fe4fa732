"""The watched root behind a URL: a bucket, a share, anything fsspec reaches.

An object whose stamp is known is not read. Object stores have no folders: an empty listing of a bucket that answers is
an empty root, and the catalog then holds the deletions. Anything else that cannot be listed is an error.
"""

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from aegis_dagster.domain.identifiers import DocumentId, Revision
from aegis_dagster.domain.listing import KnownFile, Listing, PassedOver, SeenFile
from aegis_dagster.domain.stages import Document
from aegis_dagster.errors import (
    AegisError,
    ConfigurationError,
    DocumentError,
    FailureCode,
    RootUnreadable,
    ServiceError,
)
from aegis_dagster.ports import Clock
from aegis_dagster.remote.errors import in_our_words
from aegis_dagster.remote.hang_guard import answered, rest
from aegis_dagster.remote.opened import HOW_TO, is_object_store, opened
from aegis_dagster.remote.parallel_reads import side_by_side
from aegis_dagster.sources.downloads import Downloads
from aegis_dagster.sources.listing_rules import NameRules, ReadingTime, is_fresh, revision_of_unread, still_growing
from aegis_dagster.sources.remote_listing import everything_below
from aegis_dagster.sources.remote_stamps import RemoteFile, remote_file

_BLOCK_BYTES = 2**20  # bytes read at a time: on a slow line each block takes long, and its transfer counts as silence
_READ_AT_ONCE = 8  # objects; each waits for the network most of the time
_SLOWEST, _UNHURRIED_SECONDS = 50_000, 60  # bytes a second that a download must reach, and for how long it need not
_LOOKED_AT_SINGLY = 100  # above this number, fresh objects are checked again by one more listing


@dataclass(slots=True)
class _Scan:
    files: dict[DocumentId, RemoteFile] = field(default_factory=dict)
    passed_over: list[PassedOver] = field(default_factory=list)
    unread: set[DocumentId] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)


class RemoteFolder:
    """A root behind an fsspec URL whose files are the documents."""

    def __init__(
        self,
        url: str,
        *,
        options: Mapping[str, Any],
        ignore: tuple[str, ...],
        settle_seconds: float,
        clock: Clock,
        downloads: Path,
        max_megabytes: int,
    ) -> None:
        """options: arguments of fsspec's filesystem. downloads: a local folder for copies while they are parsed.

        max_megabytes: a larger document is neither read nor fetched.
        """
        self.url = url.rstrip("/")
        self._options = options
        self._opened: Any = None
        self._names = NameRules(ignore)
        self._settle_seconds = settle_seconds
        self._clock = clock
        self._downloads = Downloads(downloads)
        self._max_megabytes = max_megabytes
        self._largest = max_megabytes * 1_000_000

    def scan(
        self, known: Mapping[DocumentId, KnownFile], scope: str = "", *, read_seconds: float | None = None
    ) -> Listing:
        """Everything below `scope` (a folder or file relative to the root; "" is the root), in one sweep.

        read_seconds: new objects that are not read by then are `unread`. Raises RootUnreadable.
        """
        with self._answering():
            found = self._list(scope)
            self._drop_growing(found, known, scope)
        return Listing(self._read(found, known, read_seconds), *self._aside(found))

    def holds(self, scope: str) -> bool:
        """Whether there is an object at a path of the root, or below it. Raises RootUnreadable."""
        with self._answering():
            return bool(self._filesystem.exists(self._full(scope)))

    def is_file(self, scope: str) -> bool:
        """Whether there is an object at the path. Raises RootUnreadable."""
        with self._answering():
            return bool(scope) and bool(self._filesystem.isfile(self._full(scope)))

    @contextmanager
    def local_copy(self, document: Document) -> Iterator[Path]:
        """A copy of the document in a file that is deleted at the end of the block.

        Raises DocumentError also for a document that does not arrive from a root that answers.
        """
        if document.size_bytes > self._largest:
            raise DocumentError(
                FailureCode.TOO_LARGE,
                f"The file has {document.size_bytes / 1e6:,.1f} MB, the limit is {self._max_megabytes} MB.",
                remedy="split it, or raise parse.max_megabytes in aegis.yaml.",
            )
        copy = self._downloads.copy(document, self._fetched(document), most=document.size_bytes)
        path = self._entered(copy, document)
        with ExitStack() as leaving:
            leaving.push(copy)
            yield path

    def _entered(self, copy: AbstractContextManager[Path], document: Document) -> Path:
        """A silent object is left behind, as by a scan: it holds up no other document."""

        def enter(_: DocumentId) -> Path | None:
            return copy.__enter__()

        def leave(_: Path | None) -> None:
            copy.__exit__(None, None, None)

        here = side_by_side(enter, [document.id], at_once=_READ_AT_ONCE, instead=lambda _: None, put_back=leave)
        if (path := dict(here)[document.id]) is not None:
            return path
        with self._answering():
            self._filesystem.exists(self._full(""))  # or else the root is silent, and no document is to blame
            answered()
        raise _too_slow("The server sends nothing of the file.")

    @property
    def _root(self) -> Any:
        """The root as a UPath. Raises ConfigurationError."""
        if self._opened is None:  # no cached_property: its lock blocks all objects while one connects
            self._opened = self._open()
        return self._opened

    def _open(self) -> Any:
        try:
            return opened(self.url, self._options)
        except (ImportError, ValueError, TypeError) as error:
            raise ConfigurationError(
                f"The watched root {self.url} cannot be opened: {in_our_words(error)}.",
                remedy=f"{HOW_TO} `root` and `root_options`.",
            ) from error

    @property
    def _filesystem(self) -> Any:
        return self._root.fs

    @cached_property
    def _prefix(self) -> str:
        return str(self._root.path).rstrip("/")

    def _full(self, scope: str) -> str:
        return f"{self._prefix}/{scope}" if scope else self._prefix or "/"

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Any error of a filesystem means that the root cannot be read: each has its own classes."""
        try:
            yield
        except AegisError:
            raise
        except Exception as error:
            raise RootUnreadable(
                f"The watched root {self.url} cannot be read: {in_our_words(error)}.",
                remedy="see that the server runs, that the bucket or folder is there and that the credentials in the "
                "environment are valid, or set AEGIS_ROOT; nothing was deleted.",
            ) from error

    def _list(self, scope: str) -> _Scan:
        self._filesystem.invalidate_cache()  # fsspec would answer from an earlier listing
        listed, unreadable = everything_below(self._filesystem, self._full(scope), root=self._full(""))
        if not listed and not unreadable:
            self._require_root()
        found = _Scan()
        for folder, why in unreadable.items():
            remedy = f"see why it cannot be listed ({why}); its documents are kept meanwhile."
            path = folder.removeprefix(f"{self._prefix}/")
            found.passed_over.append(PassedOver(f"{path}/", "unreadable", remedy, True))
        for path, info in listed.items():
            if info.get("type") != "directory" and not path.endswith("/"):
                self._sort_in(path.removeprefix(f"{self._prefix}/"), info, found)
        return found

    def _require_root(self) -> None:
        """Raises FileNotFoundError when an empty listing comes from a root that is not there."""
        if self._filesystem.exists(self._full("")):
            return
        bucket = self._prefix.split("/")[0]
        if is_object_store(self._filesystem) and bucket != self._prefix and self._filesystem.exists(bucket):
            return  # a bucket has no folders: no object has the prefix
        raise FileNotFoundError(f"{self.url} is not there")

    def _sort_in(self, name: str, info: Mapping[str, Any], found: _Scan) -> None:
        parts = name.split("/")
        if not {"", ".", ".."}.isdisjoint(parts) or "\0" in name:
            remedy = "rename it: an empty folder name, `..` or a zero byte is in its name."
            found.passed_over.append(PassedOver(name.replace("\0", "?"), "bad_name", remedy, False))
            return
        for number, part in enumerate(parts, start=1):
            if self._names.ignored(part):
                found.ignored.add("/".join(parts[:number]))
                return
        if info.get("type") == "link" or info.get("islink"):  # of SFTP and SMB; where it leads is not known
            remedy = "copy the file to its place: links on a server are not followed."
            found.passed_over.append(PassedOver(name, "link_not_followed", remedy, False))
            return
        if info.get("type") == "other":
            remedy = "remove it: it is a device, pipe or socket."
            found.passed_over.append(PassedOver(name, "not_a_file", remedy, False))
            return
        found.files[DocumentId(name)] = remote_file(info)

    def _drop_growing(self, found: _Scan, known: Mapping[DocumentId, KnownFile], scope: str) -> None:
        """Check objects written just now twice; those that changed in between wait for the next scan."""
        now = self._clock.now().timestamp()
        fresh = [
            name
            for name, file in found.files.items()
            if is_fresh(file.modified, now, self._settle_seconds)
            and not file.looks_like(known.get(name), largest=self._largest)
        ]
        if not fresh:
            return
        rest(self._settle_seconds)
        again = self._look_again(fresh, scope)
        for name in fresh:
            if name not in again or again[name].stamp != found.files[name].stamp:
                del found.files[name]
                found.passed_over.append(still_growing(name))

    def _look_again(self, names: list[DocumentId], scope: str) -> Mapping[DocumentId, RemoteFile]:
        if len(names) > _LOOKED_AT_SINGLY:
            return self._list(scope).files
        found: dict[DocumentId, RemoteFile] = {}
        folders = {self._full(name).rpartition("/")[0] for name in names}
        self._filesystem.invalidate_cache()
        for folder in folders:
            answered()
            with suppress(FileNotFoundError):
                for info in self._filesystem.ls(folder, detail=True):
                    found[DocumentId(str(info["name"]).removeprefix(f"{self._prefix}/"))] = remote_file(info)
        return found

    def _read(
        self, found: _Scan, known: Mapping[DocumentId, KnownFile], read_seconds: float | None
    ) -> dict[DocumentId, SeenFile]:
        files: dict[DocumentId, SeenFile] = {}
        new: list[DocumentId] = []
        unmarked: list[DocumentId] = []
        for name, file in found.files.items():
            before = known.get(name)
            if before is None or not file.looks_like(before, largest=self._largest):
                new.append(name)
                continue
            files[name] = SeenFile(before.revision, before.stamp, file.size or 0)
            if not file.marked:
                unmarked.append(name)
        random.shuffle(unmarked)  # if time does not suffice for all, each gets its turn
        reading = ReadingTime(read_seconds)

        def look(name: DocumentId) -> SeenFile | PassedOver | None:
            return None if reading.over() else self._look(name, found.files[name])

        for name, result in side_by_side(look, [*new, *unmarked], at_once=_READ_AT_ONCE, instead=_silent):
            if isinstance(result, SeenFile):
                files[name] = result
            elif isinstance(result, PassedOver):
                found.passed_over.append(result)
                files.pop(name, None)
            elif name not in files:
                found.unread.add(name)
        return files

    def _look(self, name: DocumentId, file: RemoteFile) -> SeenFile | PassedOver:
        if file.size is not None and file.size > self._largest:
            return SeenFile(file.unread_revision, file.stamp_with(file.unread_revision), file.size)
        hasher, size = hashlib.sha256(), 0
        try:
            for block in self._blocks(name):
                hasher.update(block)
                size += len(block)
                if size > self._largest:  # its size was not known
                    break
        except Exception as error:  # each filesystem has errors of its own; the listing itself was readable
            return PassedOver(
                name, "unreadable", f"give the credentials the right to read it ({in_our_words(error)}).", True
            )
        digest = hasher.hexdigest()
        revision = revision_of_unread(digest) if size > self._largest else Revision(digest)
        return SeenFile(revision, file.stamp_with(revision), size)

    def _blocks(self, name: DocumentId) -> Iterator[bytes]:
        """The object's bytes."""
        with self._filesystem.open(self._full(name), "rb", block_size=_BLOCK_BYTES) as remote:
            answered()
            while block := remote.read(_BLOCK_BYTES):
                answered()
                yield block

    def _fetched(self, document: Document) -> Iterator[bytes]:
        """The document's bytes, for a copy. Raises DocumentError, ServiceError."""
        began, received = self._clock.now(), 0
        try:
            for block in self._blocks(document.id):
                yield block
                received += len(block)
                seconds = (self._clock.now() - began).total_seconds()
                if seconds > _UNHURRIED_SECONDS + received / _SLOWEST:
                    raise _too_slow(
                        f"{received:,} of {document.size_bytes:,} bytes have arrived after {seconds:.0f} s."
                    )
        except AegisError:
            raise
        except (FileNotFoundError, PermissionError) as error:
            raise DocumentError(
                FailureCode.UNREADABLE_FILE,
                f"The file cannot be read: {in_our_words(error)}.",
                remedy="give the credentials of this process the right to read it; if it is gone, the next run knows.",
                retryable=True,
            ) from error
        except Exception as error:
            raise ServiceError(
                f"{document.id} cannot be fetched from {self.url}: {in_our_words(error)}.",
                remedy="see that the server runs and that the credentials are valid; the step is tried again.",
            ) from error

    @staticmethod
    def _aside(found: _Scan) -> tuple[tuple[PassedOver, ...], int, frozenset[DocumentId]]:
        return tuple(found.passed_over), len(found.ignored), frozenset(found.unread)


def _too_slow(message: str) -> DocumentError:
    remedy = "see why the server is slow for this file; `aegis retry` tries again."
    return DocumentError(FailureCode.TIMEOUT, message, remedy=remedy, retryable=True)


def _silent(name: DocumentId) -> SeenFile | PassedOver | None:
    remedy = "find out why it hangs; it is read again once that read has ended or this process is restarted."
    return PassedOver(name, "unreadable", remedy, True)
