"""The SQLite files of a Dagster instance, which this process keeps open while it writes many records to them.

Dagster opens and closes a file for each record. The last connection that closes moves the write-ahead log into the
file, waits twice for the disk, and deletes the log. With one more connection that stays open, this happens once.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

_MOST = 16  # files at a time: each run has one of its own, and a process may open some 1,000 in all


@contextmanager
def history_kept_open(home: Path) -> Iterator[None]:
    """Keep the SQLite files below a folder open that were used last within the block."""
    kept: OrderedDict[str, sqlite3.Connection] = OrderedDict()

    def opened(connection: Any, _record: object) -> None:
        with suppress(AttributeError, sqlite3.Error):  # not SQLite, or damaged, which Dagster's statement tells
            name = connection.execute("PRAGMA database_list").fetchone()[2]
            if not Path(name).is_relative_to(home):
                return
            # As in the catalog: when the machine stops, the last records are lost, and the file stays whole.
            connection.execute("PRAGMA synchronous=NORMAL")
            if name in kept:
                kept.move_to_end(name)
            elif connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                kept[name] = sqlite3.connect(name, check_same_thread=False)
                kept[name].execute("SELECT 1 FROM sqlite_master").fetchone()
            while len(kept) > _MOST:
                kept.popitem(last=False)[1].close()

    event.listen(Engine, "connect", opened)
    try:
        yield
    finally:
        event.remove(Engine, "connect", opened)
        for connection in kept.values():
            connection.close()
