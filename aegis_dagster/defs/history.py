"""The SQLite files of a Dagster instance, which this process keeps open while it writes many records to them.

Dagster opens and closes a file for each record. The last connection that closes moves the write-ahead log into the
file, waits twice for the disk, and deletes the log. With one more connection that stays open, this happens once.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine


@contextmanager
def history_kept_open(home: Path) -> Iterator[None]:
    """Keep each SQLite file below a folder open that is opened within the block."""
    kept: set[str] = set()
    with ExitStack() as until_the_end:

        def opened(connection: Any, _record: object) -> None:
            with suppress(AttributeError, sqlite3.Error):  # not SQLite, or damaged, which Dagster's statement tells
                name = connection.execute("PRAGMA database_list").fetchone()[2]
                if not Path(name).is_relative_to(home):
                    return
                # As in the catalog: when the machine stops, the last records are lost, and the file stays whole.
                connection.execute("PRAGMA synchronous=NORMAL")
                if name in kept or connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                    return
                mine = until_the_end.enter_context(closing(sqlite3.connect(name, check_same_thread=False)))
                mine.execute("SELECT 1 FROM sqlite_master").fetchone()
                kept.add(name)

        event.listen(Engine, "connect", opened)
        until_the_end.callback(event.remove, Engine, "connect", opened)
        yield
