"""Copies and checks a SQLite database as a whole, while others may be writing to it."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from aegis_dagster.errors import ServiceError
from aegis_dagster.stores.database import BUSY_TIMEOUT_MS, read
from aegis_dagster.stores.faults import Place, service_error

_PAGES_AT_ONCE = 2_000
_SHOWN = 20  # problems
_KEEP = "restore an older backup, and keep the damaged database, which holds the ledger."


def copy_sqlite(source: Path, target: Path, advance: Callable[[int, int], None]) -> None:
    """Copy a database as it is at one moment; writers go on meanwhile. Raises ServiceError.

    advance: called with the pages still to be copied, and all of them.
    """
    with _told(source, _KEEP), closing(_connected(source, "ro")) as original:
        # Holding the snapshot: otherwise the copy would begin again whenever somebody writes.
        original.execute("BEGIN")
        original.execute("SELECT count(*) FROM sqlite_master").fetchone()
        with _told(target, "make the backup again, on another disk."), closing(_connected(target, "rwc")) as copy:
            original.backup(copy, pages=_PAGES_AT_ONCE, progress=lambda _status, left, total: advance(left, total))
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a write-ahead log beside it


def sqlite_problems(file: Path) -> list[str]:
    """What SQLite finds wrong in a file; empty: nothing. Raises ServiceError when it cannot be read at all."""
    with _told(file, "use another backup."), closing(_connected(file, "ro")) as db:
        return _problems([row[0] for row in db.execute(f"PRAGMA integrity_check({_SHOWN})")])


def structure_problems(engine: Engine, *, most_megabytes: int) -> list[str] | None:
    """What SQLite finds wrong in the structure of its pages; None: not looked, it is on a server or larger than this.

    It takes a fraction of the time of `database_problems`. Raises ServiceError.
    """
    if engine.dialect.name != "sqlite":
        return None
    with read(engine) as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        if pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one() > most_megabytes * 10**6:
            return None
        return _problems(connection.exec_driver_sql(f"PRAGMA quick_check({_SHOWN})").scalars().all())


def database_problems(engine: Engine) -> list[str]:
    """What the database itself finds wrong; empty: nothing.

    SQLite reads every page. A Postgres server checks pages as it reads them, if it was made with checksums, and counts
    those that are wrong. Raises ServiceError.
    """
    with read(engine) as connection:
        if engine.dialect.name == "sqlite":
            said = connection.exec_driver_sql(f"PRAGMA integrity_check({_SHOWN})").scalars().all()
            orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            return _problems(said) + [f"{row[0]} row {row[1]} names nothing in {row[2]}" for row in orphans[:_SHOWN]]
        failures = sa.text("SELECT checksum_failures FROM pg_stat_database WHERE datname = current_database()")
        count = connection.execute(failures).scalar()
        return [f"the server counts {count} pages with a wrong checksum: see `pg_amcheck`"] if count else []


def reading(file: Path) -> Engine:
    """An engine that only reads a copy, which may be on a disk without the right to write."""
    return sa.create_engine("sqlite://", creator=lambda: _connected(file, "ro"), poolclass=sa.NullPool)


def _problems(said: Sequence[str]) -> list[str]:
    return [] if list(said) == ["ok"] else [str(line) for line in said]


def _connected(file: Path, mode: str) -> sqlite3.Connection:
    timeout = BUSY_TIMEOUT_MS / 1000
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode={mode}", uri=True, timeout=timeout, isolation_level=None)


@contextmanager
def _told(file: Path, damaged: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise service_error(error, Place(f"The database {file}", file, damaged, is_file=True)) or ServiceError(
            f"The database {file} cannot be copied: {error}.", remedy="try again; `aegis audit` tells more."
        ) from error
