"""Code for Qdrant's local mode: opens it fast, and writes with fewer disk syncs."""

from __future__ import annotations

import gc
import json
import os
import sqlite3
import warnings
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_dagster.errors import ServiceError
from aegis_dagster.stores.faults import Place, service_error

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

COUNT_WAITS_SECONDS = 5.0  # for a writer that is committing


def open_local(path: Path) -> QdrantClient:
    """The client on a local folder.

    Python's cycle collector is disabled meanwhile: importing the client and loading a store create some hundred
    thousand objects that stay alive, and scanning them repeatedly takes a fifth of the time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        from qdrant_client import QdrantClient

        # Beyond 20,000 points; `aegis doctor` says when a server is due.
        warnings.filterwarnings("ignore", message="Local mode is not recommended")
        return QdrantClient(path=str(path))
    finally:
        if collecting:
            gc.enable()


def check_folder(path: Path) -> None:
    """Raises OSError, ValueError or sqlite3.Error if a store is there and is damaged, without loading its points."""
    if not os.path.lexists(path):
        return
    os.scandir(path).close()
    with suppress(FileNotFoundError):  # nothing was written yet
        if not isinstance(json.loads((path / "meta.json").read_text("utf-8")), dict):
            raise ValueError("meta.json is no JSON object")
    for file in sorted(path.glob("collection/*/storage.sqlite")):
        with closing(_only_to_read(file)) as db:
            (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if said != "ok":
                raise ValueError(f"{file.parent.name}: {said}")


def _only_to_read(file: Path) -> sqlite3.Connection:
    """A connection that does not create the file again if it has just disappeared."""
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=COUNT_WAITS_SECONDS)


def alias_target(path: Path, alias: str) -> str | None:
    """The collection that an alias points to, without opening the store; None: there is no such alias."""
    file = path / "meta.json"
    try:
        target = json.loads(file.read_text("utf-8"))["aliases"][alias]
    except (OSError, ValueError, KeyError, TypeError):  # no store yet, it is being written, or damaged: see `check`
        return None
    return target if isinstance(target, str) else None


def sync_at_checkpoints(client: QdrantClient, collection: str) -> sqlite3.Connection | None:
    """Let a collection of local mode sync the disk at checkpoints instead of at every point.

    Local mode commits each point separately, in SQLite's default mode with two to three disk syncs: on a busy
    machine 15,000 points take 68 s with one sync each, and 20 s with syncs at checkpoints. The client has no public
    setting for this, so only this function uses its private connection; for a server nothing is changed.

    Returns the connection, for `checkpoint` to sync later; None for a server.
    """
    from qdrant_client.local.qdrant_local import QdrantLocal

    local = client._client
    if not isinstance(local, QdrantLocal):
        return None
    storage = local.collections[collection].storage
    connection: sqlite3.Connection | None = storage.storage if storage is not None else None
    if connection is not None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def checkpoint(connection: sqlite3.Connection | None) -> None:
    """Sync the writes to disk; without it a power failure could lose the last points, though nothing else."""
    if connection is not None:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def count_points(path: Path, collection: str) -> int | None:
    """How many points a collection of a local store has; None: there is no such collection.

    It takes no lock and loads no point: it queries the collection's file, even while another process writes to it.
    Raises ServiceError when the file cannot be read.
    """
    file = path / "collection" / collection / "storage.sqlite"
    try:
        file.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _fault(error, path) from error
    try:
        with closing(_only_to_read(file)) as db:
            if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'points'").fetchone() is None:
                return None  # it is being created
            count: int = db.execute("SELECT count(*) FROM points").fetchone()[0]
    except sqlite3.Error as error:
        raise _fault(error, path) from error
    return count


def points_by_collection(path: Path, alias: str) -> dict[str, int]:
    """The number of points of each model's collection behind an alias, by its name; raises as `count_points`.

    There is the active collection, and during a change of the model also the one being filled.
    """
    counts = {name: count_points(path, name) for name in collections(path, alias)}
    return {name: points for name, points in counts.items() if points is not None}


def collections(path: Path, alias: str) -> list[str]:
    """The names of each model's collection behind an alias. Raises ServiceError when the folder cannot be read."""
    try:
        # Not Path.glob, which treats an unreadable folder as empty.
        with os.scandir(path / "collection") as entries:
            return sorted(entry.name for entry in entries if entry.name.startswith(f"{alias}__"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _fault(error, path) from error


def place_of(path: Path) -> Place:
    """How messages name a local store."""
    rebuild = f"delete the folder {path} and run `aegis ingest`: it is made again from the cache, without paid calls."
    return Place(f"The vector store {path}", path, rebuild)


def _fault(error: Exception, path: Path) -> ServiceError:
    place = place_of(path)
    return service_error(error, place) or ServiceError(f"{place.what} cannot be read: {error}.", remedy=place.damaged)
