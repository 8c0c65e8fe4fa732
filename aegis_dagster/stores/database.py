"""The SQL database: engine, transactions, migrations.

Belongs here: what every table needs, whichever store owns it.
Does not belong here: tables and queries (each store's own module).

SQLite in WAL mode, or Postgres. On SQLite a write transaction begins with BEGIN IMMEDIATE, so that two writers
queue up instead of failing in the middle; on Postgres whoever reads to write locks the rows (FOR UPDATE).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from aegis_dagster.errors import ServiceError

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BUSY_TIMEOUT_MS = 60_000  # a writer waits so long for another's transaction
_EXCLUSIVE = 20_260_131  # any number that no other advisory lock of this database uses
HEAD_REVISION = "0004"  # newest migration in stores/migrations/versions; a test holds them equal
_MIGRATION_LOCK = 5_230_002  # of Postgres, any number that nobody else uses


def open_database(url: str) -> Engine:
    """An engine on an up-to-date database; creates the SQLite file and runs migrations when needed."""
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    if url.startswith("sqlite"):
        engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    else:  # a server: it may have been restarted since, and each statement is a journey
        engine = sa.create_engine(url, pool_pre_ping=True, executemany_mode="values_plus_batch")
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    with _translated():
        if _current_revision(engine) != HEAD_REVISION:
            _migrate(engine)
    return engine


@contextmanager
def read(engine: Engine) -> Iterator[Connection]:
    """A consistent snapshot for reading."""
    with _translated(), engine.connect() as connection:
        if engine.dialect.name != "sqlite":  # otherwise each statement would see another state
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


@contextmanager
def write(engine: Engine) -> Iterator[Connection]:
    """A write transaction: committed at the end, rolled back on an exception."""
    with _translated(), engine.connect().execution_options(aegis_write=True) as connection, connection.begin():
        yield connection


@contextmanager
def exclusive(engine: Engine) -> Iterator[Connection]:
    """A write transaction beside which no other of this kind runs, so that what it reads stays true.

    On SQLite every write transaction is alone; Postgres needs a lock for it.
    """
    with write(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_EXCLUSIVE)))
        yield connection


def upsert(engine_or_connection: Engine | Connection, table: sa.Table) -> Any:
    """An INSERT that supports `on_conflict_do_update` and `on_conflict_do_nothing` on this engine."""
    if engine_or_connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def _configure_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's own BEGIN below, not the driver's
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("aegis_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def _translated() -> Iterator[None]:
    """A database that is locked, full, gone or damaged is a broken service, not a bug."""
    try:
        yield
    except (sa.exc.IntegrityError, sa.exc.ProgrammingError, sa.exc.DataError):
        raise
    except sa.exc.DatabaseError as error:
        raise ServiceError(
            f"The database does not answer: {error.orig}.",
            remedy="check the disk's free space and that AEGIS_HOME is writable, then run again; a damaged aegis.db "
            "must be restored from a backup, or deleted together with the home to start anew.",
        ) from error


def _current_revision(engine: Engine) -> str | None:
    try:
        with engine.connect() as connection:
            return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    except (sa.exc.OperationalError, sa.exc.ProgrammingError):
        return None


def _migrate(engine: Engine) -> None:
    """Bring the schema to HEAD_REVISION. Two processes that start at once queue up on the lock."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with _translated(), engine.connect().execution_options(aegis_write=True) as connection, connection.begin():
        if engine.dialect.name != "sqlite":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
