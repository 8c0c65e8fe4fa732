"""The watched root behind a URL: a bucket, a share, anything fsspec reaches.

Belongs here: listing, stamping, hashing and fetching through fsspec.
Does not belong here: comparing with the catalog (`domain/listing.py`), local folders (`folder.py`).

An object whose stamp is known is not read. Object stores have no folders: an empty listing of a bucket that answers
is an empty root, and whoever applies it holds the deletions. Everything else that cannot be listed is an error.
"""

import hashlib
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
from aegis_dagster.stores.listing_rules import NameRules, ReadingTime, is_fresh, is_new, still_growing
from aegis_dagster.stores.owners import is_dead, new_owner

_BLOCK_BYTES = 4 * 2**20  # read at a time
_READ_AT_ONCE = 8  # objects; each waits for the network most of the time
_LOOKED_AT_SINGLY = 100  # more fresh objects than these are looked at again by one more listing
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "r2", "cos", "swift"})
_S3_PATIENCE = {"connect_timeout": 10, "read_timeout": 30, "retries": {"max_attempts": 2}}  # botocore waits minutes
_MODIFIED = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
_STAMPED = ("size", *_MODIFIED, "ETag", "etag", "VersionId", "generation", "content_md5", "md5Hash", "ino")


@dataclass(slots=True)
class _Scan:
    files: dict[DocumentId, Mapping[str, Any]] = field(default_factory=dict)  # what fsspec says of each
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
        """options: what fsspec's filesystem is built with. downloads: a local folder for copies while they are parsed.

        max_megabytes: a larger document is not fetched.
        """
        self.url = url.rstrip("/")
        patient = {"config_kwargs": _S3_PATIENCE} if self.url.startswith(("s3:", "s3a:")) else {}
        self._options = {**patient, **options}
        self._names = NameRules(ignore)
        self._settle_seconds = settle_seconds
        self._clock = clock
        self._downloads = downloads
        self._max_megabytes = max_megabytes
        self._owner = new_owner()

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
        """Whether there is an object at, or below, a path below the root. Raises RootUnreadable."""
        with self._answering():
            return bool(self._filesystem.exists(self._full(scope)))

    def is_file(self, scope: str) -> bool:
        """Whether there is an object at the path. Raises RootUnreadable."""
        with self._answering():
            return bool(scope) and bool(self._filesystem.isfile(self._full(scope)))

    @contextmanager
    def local_copy(self, document: Document) -> Iterator[Path]:
        """A copy of the document in a file that goes with the block."""
        if document.size_bytes > self._max_megabytes * 1_000_000:
            raise DocumentError(
                FailureCode.TOO_LARGE,
                f"The file has {document.size_bytes / 1e6:,.1f} MB, the limit is {self._max_megabytes} MB.",
                remedy="split it, or raise parse.max_megabytes in aegis.yaml.",
            )
        copy = self._downloads / self._owner / f"{document.revision}-{uuid.uuid4().hex[:8]}"
        try:
            self._fetch(document, copy)
            yield copy
        finally:
            copy.unlink(missing_ok=True)
            with suppress(OSError):  # another copy is in it, or nothing was fetched
                copy.parent.rmdir()

    @cached_property
    def _root(self) -> Any:
        """The root as a UPath. Raises ConfigurationError."""
        from upath import UPath

        try:
            if "://" not in self.url:
                raise ValueError("it names nothing")
            root = UPath(self.url, **self._options)
            root.fs.invalidate_cache()
        except (ImportError, ValueError, TypeError) as error:
            raise ConfigurationError(
                f"The watched root {self.url} cannot be opened: {error}.",
                remedy="install what it needs (S3: `pip install 'aegis_dagster[s3]'`), or correct `root` and "
                "`root_options`.",
            ) from error
        return root

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
        """Whatever a filesystem raises means that the root cannot be read: each has errors of its own."""
        try:
            yield
        except AegisError:
            raise
        except Exception as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise RootUnreadable(
                f"The watched root {self.url} cannot be read: {said}.",
                remedy="see that the server runs, that the bucket or folder is there and that the credentials in the "
                "environment are valid, or set AEGIS_ROOT; nothing was deleted.",
            ) from error

    def _list(self, scope: str) -> _Scan:
        self._filesystem.invalidate_cache()  # fsspec would answer from an earlier listing
        listed: Mapping[str, Mapping[str, Any]] = self._filesystem.find(self._full(scope), detail=True)
        if not listed:
            self._require_root()
        found = _Scan()
        for path, info in listed.items():
            if info.get("type") != "directory" and not path.endswith("/"):
                self._sort_in(path.removeprefix(f"{self._prefix}/"), info, found)
        return found

    def _require_root(self) -> None:
        """Raises FileNotFoundError when an empty listing comes from a root that is not there."""
        if self._filesystem.exists(self._full("")):
            return
        bucket = self._prefix.split("/")[0]
        protocols = self._filesystem.protocol
        names = {protocols} if isinstance(protocols, str) else set(protocols)
        if names & _OBJECT_STORES and bucket != self._prefix and self._filesystem.exists(bucket):
            return  # there are no folders in a bucket: nothing begins with the prefix
        raise FileNotFoundError(f"{self.url} is not there")

    def _sort_in(self, name: str, info: Mapping[str, Any], found: _Scan) -> None:
        parts = name.split("/")
        for number, part in enumerate(parts, start=1):
            if self._names.ignored(part):
                found.ignored.add("/".join(parts[:number]))
                return
        if "" in parts or "\0" in name:
            remedy = "rename it: an empty folder name or a zero byte is in its name."
            found.passed_over.append(PassedOver(name.replace("\0", "?"), "bad_name", remedy, False))
            return
        found.files[DocumentId(name)] = info

    def _drop_growing(self, found: _Scan, known: Mapping[DocumentId, KnownFile], scope: str) -> None:
        """Look twice at objects written just now; those that changed meanwhile wait for the next scan."""
        now = self._clock.now().timestamp()
        fresh = [
            name
            for name, info in found.files.items()
            if is_new(_stamp(info), known.get(name)) and is_fresh(_modified(info), now, self._settle_seconds)
        ]
        if not fresh:
            return
        time.sleep(self._settle_seconds)
        again = self._look_again(fresh, scope)
        for name in fresh:
            if name not in again or _stamp(again[name]) != _stamp(found.files[name]):
                del found.files[name]
                found.passed_over.append(still_growing(name))

    def _look_again(self, names: list[DocumentId], scope: str) -> Mapping[DocumentId, Mapping[str, Any]]:
        if len(names) > _LOOKED_AT_SINGLY:
            return self._list(scope).files
        found: dict[DocumentId, Mapping[str, Any]] = {}
        folders = {self._full(name).rpartition("/")[0] for name in names}
        self._filesystem.invalidate_cache()
        for folder in folders:
            with suppress(FileNotFoundError):
                for info in self._filesystem.ls(folder, detail=True):
                    found[DocumentId(str(info["name"]).removeprefix(f"{self._prefix}/"))] = info
        return found

    def _read(
        self, found: _Scan, known: Mapping[DocumentId, KnownFile], read_seconds: float | None
    ) -> dict[DocumentId, SeenFile]:
        files: dict[DocumentId, SeenFile] = {}
        new: list[DocumentId] = []
        for name, info in found.files.items():
            before, stamp = known.get(name), _stamp(info)
            if before is not None and before.stamp == stamp:
                files[name] = SeenFile(before.revision, stamp, _size(info))
            else:
                new.append(name)
        reading = ReadingTime(read_seconds)
        with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
            revisions = list(pool.map(lambda name: None if reading.over() else self._revision(name), new))
        for name, revision in zip(new, revisions, strict=True):
            if revision is None:
                found.unread.add(name)
            elif isinstance(revision, PassedOver):
                found.passed_over.append(revision)
            else:
                info = found.files[name]
                files[name] = SeenFile(revision, _stamp(info), _size(info))
        return files

    def _revision(self, name: DocumentId) -> Revision | PassedOver:
        try:
            return Revision(self._copy(name, lambda block: None))
        except Exception as error:  # each filesystem has errors of its own; the listing itself was readable
            said = " ".join(str(error).split()) or type(error).__name__
            return PassedOver(name, "unreadable", f"give the credentials the right to read it ({said}).", True)

    def _copy(self, name: DocumentId, write: Callable[[bytes], object]) -> str:
        """Hand the object's bytes on, block by block. Returns their sha256."""
        hasher = hashlib.sha256()
        with self._filesystem.open(self._full(name), "rb", block_size=_BLOCK_BYTES) as remote:
            while block := remote.read(_BLOCK_BYTES):
                hasher.update(block)
                write(block)
        return hasher.hexdigest()

    def _fetch(self, document: Document, copy: Path) -> None:
        """Raises DocumentError, ServiceError."""
        if not copy.parent.exists():
            self._clean_downloads()
            copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            with copy.open("wb") as local:
                revision = self._copy(document.id, local.write)
        except (FileNotFoundError, PermissionError) as error:
            raise DocumentError(
                FailureCode.UNREADABLE_FILE,
                f"The file cannot be read: {' '.join(str(error).split())}.",
                remedy="give the credentials of this process the right to read it; if it is gone, the next run knows.",
                retryable=True,
            ) from error
        except Exception as error:
            raise ServiceError(
                f"{document.id} cannot be fetched from {self.url}: {' '.join(str(error).split())}.",
                remedy=f"see that the server runs and that {self._downloads} has space; the step is tried again.",
            ) from error
        if revision != document.revision:
            raise DocumentError(
                FailureCode.FILE_CHANGED,
                "The file changed after it was listed.",
                remedy="nothing; the next run reads it again.",
                retryable=True,
            )

    def _clean_downloads(self) -> None:
        """Remove what killed processes left."""
        for folder in self._downloads.iterdir() if self._downloads.is_dir() else ():
            if is_dead(folder.name):
                shutil.rmtree(folder, ignore_errors=True)

    @staticmethod
    def _aside(found: _Scan) -> tuple[tuple[PassedOver, ...], int, frozenset[DocumentId]]:
        return tuple(found.passed_over), len(found.ignored), frozenset(found.unread)


def _stamp(info: Mapping[str, Any]) -> str:
    """Changes whenever the bytes may have: size, times, and the store's own mark where it gives one."""
    return ":".join(f"{info[key]}" for key in _STAMPED if info.get(key) is not None)


def _size(info: Mapping[str, Any]) -> int:
    return int(info.get("size") or 0)


def _modified(info: Mapping[str, Any]) -> float | None:
    """Seconds since 1970; None where the filesystem does not say."""
    for key in _MODIFIED:
        value = info.get(key)
        if isinstance(value, datetime):
            return value.replace(tzinfo=value.tzinfo or UTC).timestamp()
        if isinstance(value, int | float):
            return float(value)
    return None
