"""What only Qdrant's local mode needs: opening it fast, and writing it at the disk's speed.

Belongs here: the garbage collector at opening, SQLite's settings below a local collection.
Does not belong here: anything that a server needs too (`vectors.py`).
"""

from __future__ import annotations

import gc
import json
import sqlite3
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qdrant_client import QdrantClient


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
