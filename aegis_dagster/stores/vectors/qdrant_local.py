"""What only Qdrant's local mode needs: opening it fast, and writing it at the disk's speed."""

from __future__ import annotations

import gc
import json
import os
import sqlite3
import warnings
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_dagster.errors import ServiceError

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

COUNT_WAITS_SECONDS = 5.0  # for a writer that commits right now


def open_local(path: Path) -> QdrantClient:
    """The client on a local folder.

    Python's cycle collector is off meanwhile: importing the client and loading a store make some hundred
    thousand objects that stay, and looking at them over and over costs a fifth of the time.
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


def alias_target(path: Path, alias: str) -> str | None:
    """The collection that an alias stands before, without opening the store; None: there is no such alias."""
    file = path / "meta.json"
    try:
        aliases = json.loads(file.read_text("utf-8")).get("aliases") or {}
    except (OSError, ValueError):  # no store yet, or one that is being written right now
        return None
    target = aliases.get(alias)
    return target if isinstance(target, str) else None


def sync_at_checkpoints(client: QdrantClient, collection: str) -> sqlite3.Connection | None:
    """Let a collection of local mode sync the disk at checkpoints instead of at every point.

    Local mode commits each point by itself, in SQLite's default mode with two to three disk syncs: on a busy
    machine 15,000 points take 68 s with one sync each, and 20 s with syncs at checkpoints. The connection's
    setting has no public name, so this one place reaches for it; a server is left alone.

    Returns the connection, on which `checkpoint` makes durable what was written; None for a server.
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
    """Sync what was written; without it a power cut could take the last points, though nothing else."""
    if connection is not None:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def count_points(path: Path, collection: str) -> int | None:
    """How many points a collection of a local store has; None: there is no such collection.

    It takes no lock and reads no point: the file that the collection is kept in is asked, also while another process
    writes it. Raises ServiceError when that does not answer.
    """
    file = path / "collection" / collection / "storage.sqlite"
    try:
        file.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _cannot_be_counted(collection, file, error) from error
    try:
        # Read-only, so that a file which disappears right now is not made anew.
        with closing(
            sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=COUNT_WAITS_SECONDS)
        ) as db:
            if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'points'").fetchone() is None:
                return None  # it is being made right now
            count: int = db.execute("SELECT count(*) FROM points").fetchone()[0]
    except sqlite3.Error as error:
        raise _cannot_be_counted(collection, file, error) from error
    return count


def points_by_collection(path: Path, alias: str) -> dict[str, int]:
    """How many points each model's collection behind an alias has, by its name; raises as `count_points`.

    There is the active one, and for a while beside it one that is being filled.
    """
    folder = path / "collection"
    try:
        # Not Path.glob, to which a folder that cannot be read is an empty one.
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name.startswith(f"{alias}__"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _cannot_be_counted(alias, folder, error) from error
    counts = {name: count_points(path, name) for name in names}
    return {name: points for name, points in counts.items() if points is not None}


def _cannot_be_counted(what: str, where: Path, error: Exception) -> ServiceError:
    return ServiceError(
        f"The points of {what} cannot be counted: {error}.",
        remedy=f"see that {where} can be read; if it stays, `aegis doctor` tells more.",
    )
