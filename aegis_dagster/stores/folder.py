"""The watched root as a local folder: what is in it now.

Belongs here: walking, stamping and hashing files.
Does not belong here: comparing with the catalog (`domain/listing.py`).

A file whose stamp is known is not read. A root or folder that cannot be read is an error, never an empty
listing: an unmounted share must not look like a mass deletion.
"""

import fnmatch
import hashlib
import os
import re
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aegis_dagster.domain.identifiers import DocumentId, Revision
from aegis_dagster.domain.listing import KnownFile, Listing, PassedOver, SeenFile
from aegis_dagster.errors import RootUnreadable
from aegis_dagster.ports import Clock


@dataclass(slots=True)
class _Scan:
    files: dict[DocumentId, os.stat_result] = field(default_factory=dict)
    passed_over: list[PassedOver] = field(default_factory=list)
    ignored: int = 0


class WatchedFolder:
    """A local folder whose files are the documents."""

    def __init__(
        self, root: Path, *, ignore: tuple[str, ...], settle_seconds: float, clock: Clock, home: Path | None = None
    ) -> None:
        """home: our own folder; where it lies below the root, what is in it is no document."""
        self.root = root
        self._home = os.path.realpath(home) if home else None
        self._settle_seconds = settle_seconds
        self._clock = clock
        self._ignored = re.compile("|".join(fnmatch.translate(pattern) for pattern in ignore) or r"(?!)", re.IGNORECASE)

    def scan(self, known: Mapping[DocumentId, KnownFile], scope: str = "") -> Listing:
        """Everything below `scope` (a folder or file relative to the root; "" is the root).

        Raises RootUnreadable when the root cannot be read; a folder below it is passed over, with all it holds.
        """
        if not self.root.is_dir():
            raise RootUnreadable(
                f"The watched root {self.root} is not there or is no folder.",
                remedy="mount or create it, or set AEGIS_ROOT; nothing was deleted.",
            )
        found = _Scan()
        self._begin(scope, found)
        self._drop_growing(found, known)
        files: dict[DocumentId, SeenFile] = {}
        for document_id, status in found.files.items():
            self._look(document_id, status, known.get(document_id), files, found)
        return Listing(files, tuple(found.passed_over), found.ignored)

    def path(self, document_id: DocumentId) -> Path:
        """Where a document's bytes are."""
        return self.root / document_id

    def _begin(self, scope: str, found: _Scan) -> None:
        """Walk from the root down to the scope by the rules of every walk, then everything below it."""
        prefix, parts = "", scope.split("/") if scope else []
        for number, name in enumerate(parts):
            try:
                with os.scandir(self.root / prefix) as entries:
                    entry = next((entry for entry in entries if entry.name == name), None)
            except OSError as error:
                self._unreadable(self.root / prefix, prefix, error, found)
                return
            pending: list[tuple[str, str]] = []
            if entry is not None:
                self._sort_in(entry, prefix, pending, found)
            if not pending:  # gone, a file, or nothing that is followed
                if number < len(parts) - 1:
                    found.files.clear()
                return
            prefix = pending[0][1]
        self._walk(self.root / scope, prefix, found)

    def _walk(self, folder: Path, prefix: str, found: _Scan) -> None:
        pending = [(str(folder), prefix)]
        while pending:
            current, prefix = pending.pop()
            try:
                with os.scandir(current) as entries:
                    for entry in entries:
                        self._sort_in(entry, prefix, pending, found)
            except OSError as error:
                self._unreadable(current, prefix, error, found)

    def _unreadable(self, folder: str | Path, prefix: str, error: OSError, found: _Scan) -> None:
        if not prefix:
            raise RootUnreadable(
                f"The watched root {folder} cannot be read: {error.strerror}.",
                remedy="make it readable for this user; nothing was deleted.",
            ) from error
        remedy = f"make it readable for this user ({error.strerror}); its documents are kept meanwhile."
        found.passed_over.append(PassedOver(prefix, "unreadable", remedy, True))

    def _sort_in(self, entry: os.DirEntry[str], prefix: str, pending: list[tuple[str, str]], found: _Scan) -> None:
        name = prefix + entry.name
        if self._is_ignored(entry.name) or (entry.is_dir() and os.path.realpath(entry.path) == self._home):
            found.ignored += 1
            return
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            found.passed_over.append(PassedOver(shown, "bad_name", "rename it: its name is not UTF-8.", False))
            return
        if entry.is_symlink() and not self._follow(entry, name, found):
            return
        if entry.is_dir():
            # A linked folder could lead in circles; what it holds inside the root is found by its own path.
            if not entry.is_symlink():
                pending.append((entry.path, name + "/"))
            return
        try:
            status = entry.stat()
        except FileNotFoundError:  # deleted since the folder was listed
            return
        if stat.S_ISREG(status.st_mode):
            found.files[DocumentId(name)] = status
        else:
            found.passed_over.append(
                PassedOver(name, "not_a_file", "remove it: it is a device, pipe or socket.", False)
            )

    def _follow(self, entry: os.DirEntry[str], name: str, found: _Scan) -> bool:
        target = Path(os.path.realpath(entry.path))
        if not target.exists():
            found.passed_over.append(PassedOver(name, "broken_link", "restore the link's target or remove it.", True))
            return False
        if not target.is_relative_to(os.path.realpath(self.root)):
            remedy = "copy the file into the watched root: links that leave it are not followed."
            found.passed_over.append(PassedOver(name, "link_leaves_root", remedy, False))
            return False
        return True

    def _is_ignored(self, name: str) -> bool:
        return name.startswith(".") or self._ignored.match(name) is not None

    def _drop_growing(self, found: _Scan, known: Mapping[DocumentId, KnownFile]) -> None:
        """Look twice at files written just now; those that changed meanwhile wait for the next scan."""
        now = self._clock.now().timestamp()
        fresh = [
            document_id
            for document_id, status in found.files.items()
            if 0 <= now - status.st_mtime < self._settle_seconds and _is_new(status, known.get(document_id))
        ]
        if not fresh:
            return
        time.sleep(self._settle_seconds)
        for document_id in fresh:
            try:
                status = self.path(document_id).stat()
            except OSError:
                status = None
            if status is None or stamp_of(status) != stamp_of(found.files[document_id]):
                del found.files[document_id]
                remedy = "nothing to do: it is taken once nobody writes to it."
                found.passed_over.append(PassedOver(document_id, "still_growing", remedy, True))

    def _look(
        self,
        document_id: DocumentId,
        status: os.stat_result,
        known: KnownFile | None,
        files: dict[DocumentId, SeenFile],
        found: _Scan,
    ) -> None:
        stamp = stamp_of(status)
        if known is not None and known.stamp == stamp:
            files[document_id] = SeenFile(known.revision, stamp, status.st_size)
            return
        try:
            revision = hash_file(self.path(document_id))
        except OSError as error:
            remedy = f"make it readable for this user ({error.strerror})."
            found.passed_over.append(PassedOver(document_id, "unreadable", remedy, True))
            return
        files[document_id] = SeenFile(revision, stamp, status.st_size)


def stamp_of(status: os.stat_result) -> str:
    """Changes whenever the bytes may have: also when a copy keeps size and modification time (ctime, inode)."""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"


def hash_file(path: Path) -> Revision:
    """sha256 of a file's bytes. Raises OSError."""
    with path.open("rb") as file:
        return Revision(hashlib.file_digest(file, "sha256").hexdigest())


def _is_new(status: os.stat_result, known: KnownFile | None) -> bool:
    return known is None or known.stamp != stamp_of(status)
