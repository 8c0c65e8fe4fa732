"""Local copies of artifacts that are behind a URL, for all processes of a machine, up to a limit of bytes.

Whoever reads gets hard links of its own to a copy. So a copy can be evicted at any moment: who reads it keeps it, and
whatever is killed where leaves at most folders of a dead process, which the next process removes. Where a file system
has no hard links, who reads gets a copy.

Layout: `entries/<first two characters>/<stage>-<fingerprint>-<write>-<bytes>/FILES`, whose time of modification is
that of its last use; `reading/<process>/` and `moving/<process>/`.
"""

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from aegis_dagster.domain.stages import Stage
from aegis_dagster.process_identity import new_folder, remove_folders_of_the_dead
from aegis_dagster.stores.stored_artifact import StoredArtifact

_HANDED_OUT_SECONDS = 600.0  # how long who reads outside of a block may take
_FILLED_AGAIN = 0.9  # share of the limit that an eviction leaves: the next one is some time off
_UNSEEN = 0.05  # share of the limit that this process adds before it counts again what others added


@dataclass(slots=True)
class _Reader:
    """What one block, or everybody outside of a block, has in hand."""

    folder: Path | None = None
    known: dict[tuple[Stage, str], StoredArtifact] = field(default_factory=dict)
    held: dict[str, float] = field(default_factory=dict)  # by `data`; of time.monotonic


class ReadCache:
    """The copies in one folder. Safe in threads and processes."""

    def __init__(self, folder: Path, *, most_bytes: int) -> None:
        self._folder, self._most = folder, most_bytes
        self._own: dict[str, Path] = {}  # this process's folders, by place
        self._outside = _Reader()
        self._lock = Lock()  # guards the making of folders
        self._reader: ContextVar[_Reader | None] = ContextVar("aegis_artifact_reader", default=None)
        self._counted: int | None = None  # bytes of all copies when they were last counted
        self._added = 0  # bytes since

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What is held inside the block stays until it ends."""
        reader = _Reader()
        before = self._reader.set(reader)
        try:
            yield
        finally:
            self._reader.reset(before)
            if reader.folder is not None:
                shutil.rmtree(reader.folder, ignore_errors=True)

    @property
    def known(self) -> dict[tuple[Stage, str], StoredArtifact]:
        """What is learned of artifacts in a block; it is forgotten with it, and outside of a block at once."""
        reader = self._reader.get()
        return {} if reader is None else reader.known

    def nowhere(self, fingerprint: str) -> Path:
        """The folder of an artifact that is not there."""
        return self._folder / "reading" / "nothing" / fingerprint

    def held(self, stored: StoredArtifact) -> Path | None:
        """The artifact's folder, for the reader alone; None: there is no copy. Raises OSError."""
        reader = self._of_this_context()
        target = self._held_at(reader, stored)
        if stored.data in reader.held:
            reader.held[stored.data] = time.monotonic()
            return target
        entry = self._entry(stored)
        try:
            os.utime(entry)
            _link_all(entry, target)
        except FileNotFoundError:  # no copy, or it has just been evicted
            shutil.rmtree(target, ignore_errors=True)
            return None
        reader.held[stored.data] = time.monotonic()
        return target

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """An empty folder for a copy; whatever is there at the end of the block is removed. Raises OSError."""
        folder = self._place("moving") / uuid.uuid4().hex
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, stored: StoredArtifact, folder: Path, *, hold: bool) -> None:
        """Make a folder the copy of an artifact. hold: the reader has it in hand then. Raises OSError."""
        if hold:
            reader = self._of_this_context()
            _link_all(folder, self._held_at(reader, stored))
            reader.held[stored.data] = time.monotonic()
        entry = self._entry(stored)
        entry.parent.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        with suppress(OSError):  # somebody else has just fetched it, or the folder is on another disk
            folder.rename(entry)
            self._added += stored.total_bytes
        self._evict_if_full()

    def drop(self, stored: StoredArtifact) -> None:
        """Forget a copy; who reads it keeps it, but this reader."""
        reader = self._of_this_context()
        if reader.held.pop(stored.data, None) is not None:
            shutil.rmtree(self._held_at(reader, stored), ignore_errors=True)
        self._remove(self._entry(stored))

    def clean(self) -> None:
        """Remove what killed processes of this machine left."""
        for place in ("reading", "moving"):
            remove_folders_of_the_dead(self._folder / place)

    def close(self) -> None:
        """Remove what this process has in hand."""
        own, self._own, self._outside = self._own, {}, _Reader()
        for folder in own.values():
            shutil.rmtree(folder, ignore_errors=True)

    def _of_this_context(self) -> _Reader:
        reader = self._reader.get()
        if reader is not None:
            return reader
        outside, old = self._outside, time.monotonic() - _HANDED_OUT_SECONDS
        for data in [data for data, at in list(outside.held.items()) if at < old]:
            if outside.held.pop(data, None) is not None and outside.folder is not None:
                shutil.rmtree(outside.folder / data.rpartition("-")[2], ignore_errors=True)
        return outside

    def _held_at(self, reader: _Reader, stored: StoredArtifact) -> Path:
        if reader.folder is None:
            reader.folder = self._place("reading") / uuid.uuid4().hex
        return reader.folder / stored.data.rpartition("-")[2] / stored.fingerprint

    def _place(self, name: str) -> Path:
        """This process's folder of a kind. Raises OSError."""
        with self._lock:
            if name not in self._own or not self._own[name].is_dir():
                self.clean()
                self._own[name] = new_folder(self._folder / name)
            return self._own[name]

    def _entry(self, stored: StoredArtifact) -> Path:
        name = stored.data.partition("/")[2]
        return self._folder / "entries" / stored.fingerprint[:2] / f"{name}-{stored.total_bytes}"

    def _evict_if_full(self) -> None:
        unseen = self._counted is None or self._added > self._most * _UNSEEN
        if not unseen and (self._counted or 0) + self._added <= self._most:
            return
        copies = sorted(self._copies())
        total = sum(size for _, size, _ in copies)
        least = self._most * (1 if total <= self._most else _FILLED_AGAIN)
        for _, size, entry in copies:
            if total <= least:
                break
            self._remove(entry)
            total -= size
        self._counted, self._added = total, 0

    def _copies(self) -> Iterator[tuple[float, int, Path]]:
        """When each copy was last used, its bytes, and where it is."""
        for entry in (self._folder / "entries").glob("*/*"):
            size = entry.name.rpartition("-")[2]
            with suppress(FileNotFoundError):  # another process evicts, too
                yield entry.stat().st_mtime, int(size) if size.isdigit() else 0, entry

    def _remove(self, entry: Path) -> None:
        """By a rename first: a copy is whole or not there, whatever is killed."""
        trash = self._place("moving") / uuid.uuid4().hex
        with suppress(FileNotFoundError):
            entry.rename(trash)
            shutil.rmtree(trash, ignore_errors=True)


def _link_all(source: Path, target: Path) -> None:
    """A tree of hard links to the files of another; of copies where there are no links. Raises OSError."""
    for base, _, files in os.walk(source, onerror=_raise):
        folder = target / Path(base).relative_to(source)
        folder.mkdir(parents=True, exist_ok=True)
        for name in files:
            try:
                os.link(f"{base}/{name}", folder / name)
            except FileNotFoundError:
                raise
            except FileExistsError:  # another thread of this reader
                continue
            except OSError:
                shutil.copyfile(f"{base}/{name}", folder / name)


def _raise(error: OSError) -> None:
    raise error
