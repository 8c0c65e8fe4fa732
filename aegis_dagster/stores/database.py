"""The SQL database: engine, transactions, migrations.

SQLite in WAL mode, or Postgres. On SQLite a write transaction begins with BEGIN IMMEDIATE, so that two writers
queue instead of failing halfway; on Postgres a read before a write locks the rows (FOR UPDATE).
"""

import json
import sqlite3
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.sql.compiler import SQLCompiler

from aegis_dagster.domain.addresses import without_secrets
from aegis_dagster.errors import ConfigurationError, ServiceError
from aegis_dagster.stores.faults import Place, service_error

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

DAMAGED_REMEDY = (
    "restore the newest backup (docs/guides/BACKUP.md). Without one keep the damaged database, which holds the "
    "ledger and the answers of models: `sqlite3 FILE .recover`, or `pg_dump`, saves what can be read."
)
BUSY_TIMEOUT_MS = 60_000  # how long a writer waits for another's transaction
_EXCLUSIVE = 20_260_131  # any number that no other advisory lock of this database uses
MOVING = "moving"  # the revision while `aegis move-home` fills a database
HEAD_REVISION = "0010"  # newest migration in stores/migrations/versions; a test holds them equal
_MIGRATION_LOCK = 5_230_002  # Postgres advisory lock; any number not used elsewhere
_POOLED = 3  # connections that a process keeps: of its stage, of the ledger, and one to spare
_MORE_AT_ONCE = 12  # for moments in which more threads ask
_OLD_SECONDS = 1_800  # firewalls forget connections that are silent for longer
_REVISION = sa.text("SELECT version_num FROM alembic_version")
_WRITE_SQLITE_OR = "write it as postgresql+psycopg2://USER:PASSWORD@HOST/NAME, or unset it: SQLite in AEGIS_HOME."
_DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg2")
# libpq's options unless the URL sets them: by default it waits for hours for a server that is gone.
_SERVER_LIMITS = {
    "connect_timeout": 5,  # seconds, like the next two
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # milliseconds until sent data must be acknowledged
}


def open_database(url: str) -> Engine:
    """An engine on an up-to-date database; creates the SQLite file and runs migrations when needed.

    Raises ConfigurationError when the URL is wrong, and ServiceError when the database cannot be used.
    """
    engine = open_unchecked(url)
    with _translated(engine.url):
        if revision_of(engine) != HEAD_REVISION:
            _migrate(engine)
    return engine


def open_unchecked(url: str) -> Engine:
    """An engine on a database whose tables nobody has looked at; creates the SQLite file.

    Raises ConfigurationError when the URL is wrong, and ServiceError when the file cannot be used.
    """
    where = _checked(url)
    if url.startswith("sqlite:///"):
        with _translated(where):
            Path(url.removeprefix("sqlite:///")).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if url.startswith("sqlite"):
        engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        weakref.finalize(engine, engine.pool.dispose)  # the last that closes it empties the write-ahead log
        return engine
    return _on_server(url)


def open_to_read(url: str, *, statement_seconds: float) -> Engine:
    """A read-only engine: it creates and migrates nothing, and refuses writes.

    statement_seconds: a server cancels a statement that takes longer. Engines that write have no such limit, because
    a long write or migration must not be cancelled. Raises ServiceError when there is no database, when it belongs to
    another version of this project, and when it does not answer.
    """
    where = _checked(url)
    if url.startswith("sqlite"):
        with _translated(where):
            engine = _existing_file(url)
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "connect", _refuse_writes_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    else:
        engine = _on_server(url, reads_only=True)
        sa.event.listen(engine, "connect", _only_reading(statement_seconds))
    try:
        with _translated(where), engine.connect() as connection:
            is_made = sa.inspect(connection).has_table("alembic_version")
            revision = connection.execute(_REVISION).scalar() if is_made else None
        _check_revision(url, revision)
    except Exception:
        engine.dispose()
        raise
    return engine


@contextmanager
def read(engine: Engine) -> Iterator[Connection]:
    """A consistent snapshot for reading."""
    with _translated(engine.url), engine.connect() as connection:
        if engine.dialect.name != "sqlite":  # otherwise each statement would see a different state
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


@contextmanager
def write(engine: Engine) -> Iterator[Connection]:
    """A write transaction: committed at the end, rolled back on an exception."""
    with (
        _translated(engine.url),
        engine.connect().execution_options(aegis_write=True) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def exclusive(engine: Engine) -> Iterator[Connection]:
    """A write transaction that excludes others of its kind, so that what it reads stays valid.

    On SQLite every write transaction is exclusive; Postgres needs a lock.
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


def write_rows(connection: Connection, statement: sa.Insert, rows: Sequence[Mapping[str, Any]]) -> None:
    """As `connection.execute(statement, rows)`, for thousands of rows: each has all columns, as the driver takes them.

    SQLAlchemy looks at every value of every row otherwise, for more time than the database takes.
    """
    compiled = statement.compile(dialect=connection.dialect, column_keys=list(rows[0]))
    assert isinstance(compiled, SQLCompiler)
    names = compiled.positiontup
    values = rows if names is None else [tuple(map(row.__getitem__, names)) for row in rows]
    connection.exec_driver_sql(compiled.string, values)


def server_url(url: str, schema: str | None = None) -> str:
    """The URL of a server with our limits of time, for other programs; with its password. schema: of their tables."""
    parsed = sa.engine.make_url(url)
    query: dict[str, str | Sequence[str]] = {name: str(value) for name, value in _SERVER_LIMITS.items()}
    query |= parsed.query
    if schema is not None:  # of options that are given twice the last one counts
        query["options"] = f"{parsed.query.get('options', '')} -csearch_path={schema}".strip()
    return parsed.set(query=query).render_as_string(hide_password=False)


def _on_server(url: str, *, reads_only: bool = False) -> Engine:
    """An engine on a server: it may restart, each statement is a round trip, and a lost one sends no error.

    A process holds as few connections as its threads need at a time, because a server has 100: the last used one is
    used again, so those that one busy moment needed are old, and closed, when the next one comes.
    """
    return sa.create_engine(
        server_url(url),
        pool_size=1 if reads_only else _POOLED,
        max_overflow=_MORE_AT_ONCE,
        pool_timeout=BUSY_TIMEOUT_MS / 1000,
        pool_recycle=_OLD_SECONDS,
        pool_use_lifo=True,
        pool_pre_ping=True,
        executemany_mode="values_plus_batch",
    )


def _existing_file(url: str) -> Engine:
    file = Path(url.removeprefix("sqlite:///")).absolute()
    if not file.exists():
        raise no_database(url)

    def connect() -> sqlite3.Connection:  # SQLite creates a missing file unless the mode forbids it
        name = f"{file.as_uri()}?mode=rw"
        return sqlite3.connect(name, uri=True, timeout=BUSY_TIMEOUT_MS / 1000, check_same_thread=False)

    return sa.create_engine(url, creator=connect)


def no_database(url: str) -> ServiceError:
    """The error when the database does not exist."""
    shown = shown_database(sa.engine.make_url(url))
    return ServiceError(
        f"There is no database {shown} yet.", remedy="run `aegis ingest`, or mount the disk that AEGIS_HOME is on."
    )


def shown_database(url: sa.URL) -> str:
    """A database's address without user, password and options, which may hold a password, too."""
    return without_secrets(url.render_as_string())


def _check_revision(url: str, revision: str | None) -> None:
    if revision is None:
        raise no_database(url)
    if revision != HEAD_REVISION:
        raise _of_another_version(revision)


def _of_another_version(revision: str | None) -> ServiceError:
    if revision == MOVING:
        return ServiceError(
            "The database is not complete: `aegis move-home` is filling it.",
            remedy="wait until it has ended; if it was interrupted, run it again: it goes on.",
        )
    return ServiceError(
        f"The database is of another version of aegis_dagster: revision {revision}, not {HEAD_REVISION}.",
        remedy="run `aegis status` with the newer version, which brings it up to date; then start that version "
        "everywhere.",
    )


def _only_reading(statement_seconds: float) -> Callable[[Any, object], None]:
    def configure(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = {round(statement_seconds * 1000)}")
            cursor.execute("SET default_transaction_read_only = on")
        connection.commit()

    return configure


def _refuse_writes_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA query_only=ON")


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


def engine_in_words(engine: Engine) -> str:
    """Which database it is, its version, and the revision of its tables. Raises ServiceError."""
    with read(engine) as connection:
        if engine.dialect.name == "sqlite":
            said = f"SQLite {sqlite3.sqlite_version}"
        else:
            said = f"Postgres {connection.execute(sa.text('SHOW server_version')).scalar_one()}"
        return f"{said}, revision {connection.execute(_REVISION).scalar_one()}"


def place_of(url: sa.URL) -> Place:
    """How messages name a database, without its password."""
    is_file = url.get_backend_name() == "sqlite"
    path = Path(url.database) if is_file and url.database else None
    return Place(f"The database {path or shown_database(url)}", path, DAMAGED_REMEDY, is_file=True)


def object_in(text: str, what: str) -> dict[str, Any]:
    """The JSON object that a column holds. Raises ServiceError when it holds something else: the database is damaged.

    what: what the column holds, for the message.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise _no_object(what) from error
    if not isinstance(found, dict):
        raise _no_object(what)
    return found


def _no_object(what: str) -> ServiceError:
    return ServiceError(f"The database is damaged: {what} cannot be read.", remedy=DAMAGED_REMEDY)


@contextmanager
def _translated(url: sa.URL) -> Iterator[None]:
    """Raises ServiceError when the database is locked, full, gone or damaged: that is not a bug."""
    try:
        yield
    except (sa.exc.IntegrityError, sa.exc.DataError):
        raise
    except (sa.exc.DatabaseError, sa.exc.TimeoutError, sqlite3.DatabaseError, OSError) as error:
        translated = service_error(error, place_of(url))
        if translated is None or (isinstance(error, sa.exc.ProgrammingError) and not _is_told(error)):
            raise
        raise translated from error


def _is_told(error: sa.exc.ProgrammingError) -> bool:
    """Whether a server says by a code that something is missing or forbidden; other such errors are bugs."""
    return str(getattr(error.orig, "pgcode", None) or "") in ("42501", "42P01", "42703")


def _checked(url: str) -> sa.URL:
    """The URL of a database that this project can use. Raises ConfigurationError."""
    try:
        parsed = sa.engine.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise ConfigurationError("AEGIS_DATABASE is no URL of a database.", remedy=_WRITE_SQLITE_OR) from error
    if parsed.drivername not in _DRIVERS:
        raise ConfigurationError(
            f"AEGIS_DATABASE begins with {parsed.drivername}://, which is neither SQLite nor Postgres by psycopg2.",
            remedy=_WRITE_SQLITE_OR,
        )
    try:
        parsed.get_dialect().import_dbapi()
    except ImportError as error:
        raise ConfigurationError(
            "AEGIS_DATABASE names Postgres, and its driver is not installed.",
            remedy="pip install 'aegis_dagster[postgres]'",
        ) from error
    return parsed


def revision_of(engine: Engine) -> str | None:
    """The revision of the tables of a database; None: there are none, or it cannot be asked."""
    try:
        with engine.connect() as connection:
            return connection.execute(_REVISION).scalar()
    except (sa.exc.OperationalError, sa.exc.ProgrammingError):
        return None


def _migrate(engine: Engine) -> None:
    """Migrate the schema to HEAD_REVISION. Processes that start at the same time queue at the lock."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with (
        _translated(engine.url),
        engine.connect().execution_options(aegis_write=True) as connection,
        connection.begin(),
    ):
        if engine.dialect.name != "sqlite":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:  # its revision is none of ours
            raise _of_another_version(revision_of(engine)) from error
