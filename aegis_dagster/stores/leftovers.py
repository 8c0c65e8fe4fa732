"""What writers and sweepers leave in a bucket when they are killed, and how it is removed without harm to any other.

Each process that writes keeps one record `leftovers/<process>.json`, and each deletion one of its own; a record names
the folders below `data/` that may hold objects of no artifact. Whoever finds the record of a dead process of its own
machine, or one that is older than a day, removes the objects that no manifest names and that are as old. Ages are
differences of times of the bucket's own clock: the clocks of the machines do not matter.
"""

import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from time import monotonic

from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import ServiceError
from aegis_dagster.process_identity import is_dead, new_owner
from aegis_dagster.stores.remote_objects import AbsentObject, RemoteObjects
from aegis_dagster.stores.stored_artifact import DATA, StoredArtifact, artifact_named
from aegis_dagster.stores.unfinished import ABANDONED_SECONDS

_RECORDS = "leftovers"
_MARKED_ANEW_SECONDS = ABANDONED_SECONDS / 4  # a writer whose record is older is not at work


class Leftovers:
    """This process's records, and the removal of what others left."""

    def __init__(self, objects: RemoteObjects, look: Callable[[Stage, str], StoredArtifact | None]) -> None:
        """look: the artifact of a name as its manifest says; raises ValueError for a damaged one."""
        self._objects, self._look = objects, look
        self.writer = new_owner().replace("|", "~")
        self._marked: float | None = None  # when its record was written; of time.monotonic
        self._under_way = 0  # writes that have begun and not ended well
        self._lock = Lock()

    @contextmanager
    def writing(self) -> Iterator[str]:
        """A new name below `data/` may be written in the block. Raises ServiceError."""
        with self._lock:
            self._under_way += 1
            if self._marked is None or monotonic() - self._marked > _MARKED_ANEW_SECONDS:
                self._mark()
        yield f"{self.writer}/"
        with self._lock:  # not after an error: the record stays for what is left
            self._under_way -= 1

    def announce(self, artifacts: Iterable[StoredArtifact]) -> str:
        """The objects of these artifacts may be without a manifest until `end` is called. Returns the record."""
        record = f"{_RECORDS}/{self.writer}~{uuid.uuid4().hex[:8]}.json"
        self._record(record, [artifact.data for artifact in artifacts])
        return record

    def end(self, record: str) -> None:
        """Nothing is left of what was announced."""
        self._objects.remove([record])

    def sweep(self) -> None:
        """Remove what the records of others name. Raises ServiceError."""
        with self._lock:
            self._mark()
        records = self._objects.names(_RECORDS)
        now = records.pop(f"{self.writer}.json", None)
        for name, written in records.items():
            dead = is_dead("|".join(name.removesuffix(".json").split("~")[:4]))
            if (dead or _is_old(written, now)) and self._clear(self._named_in(name), None if dead else now):
                self._objects.remove([f"{_RECORDS}/{name}"])

    def sweep_all(self) -> None:
        """Remove every object that no manifest names and that is older than a day. Raises ServiceError."""
        with self._lock:
            self._mark()
        now = self._objects.names(_RECORDS).get(f"{self.writer}.json")
        if now is not None:
            self._clear([""], now)

    def close(self) -> None:
        """Remove this process's record if nothing is left. It stays where the bucket does not answer."""
        with self._lock:
            if self._marked is not None and not self._under_way:
                with suppress(ServiceError):
                    self._objects.remove([f"{_RECORDS}/{self.writer}.json"])
            self._marked = None

    def _mark(self) -> None:
        self._record(f"{_RECORDS}/{self.writer}.json", [self.writer])
        self._marked = monotonic()

    def _record(self, name: str, folders: list[str]) -> None:
        self._objects.write(name, json.dumps({"data": folders}).encode())

    def _named_in(self, record: str) -> list[str]:
        """The folders that a record names; none if it is gone or damaged."""
        try:
            told = json.loads(self._objects.read(f"{_RECORDS}/{record}"))
            return [folder for folder in told["data"] if isinstance(folder, str) and folder.strip("/")]
        except (AbsentObject, ValueError, KeyError, TypeError):
            return []

    def _clear(self, folders: list[str], now: float | None) -> bool:
        """Remove what no manifest names; now: and is older than a day. Returns whether nothing of it is left."""
        cleared = True
        for folder in folders:
            below: dict[str, dict[str, float | None]] = {}  # by the folder of one write
            for name, written in self._objects.below(f"{DATA}/{folder}".rstrip("/")).items():
                full = f"{folder}/{name}".strip("/")
                below.setdefault(full.rpartition("/")[0], {})[f"{DATA}/{full}"] = written
            for data, objects in below.items():
                if self._is_named(data):
                    continue
                if now is None or all(_is_old(written, now) for written in objects.values()):
                    self._objects.remove(list(objects))
                else:
                    cleared = False
        return cleared

    def _is_named(self, data: str) -> bool:
        """Whether a manifest names the folder. What is none of ours is left alone."""
        named = artifact_named(data)
        if named is None:
            return True
        try:
            stored = self._look(*named)
        except ValueError:  # damaged: `aegis audit --repair` removes the manifest
            return True
        return stored is not None and stored.data == data


def _is_old(written: float | None, now: float | None) -> bool:
    """Whether an object is older than a day by the bucket's clock, if that is known."""
    return written is not None and now is not None and now - written > ABANDONED_SECONDS
