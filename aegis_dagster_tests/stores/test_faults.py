"""Every fault of disk, SQLite and Postgres, made for real, has its own message and a remedy that is true for it."""

import os
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from aegis_dagster.errors import ConfigurationError, ServiceError, StoreBusy
from aegis_dagster.stores.catalog.schema import documents
from aegis_dagster.stores.database import open_database, open_to_read, place_of, read, write
from aegis_dagster.stores.faults import Cause, cause_of, service_error
from aegis_dagster_tests.support.limits import no_file_above
from aegis_dagster_tests.support.servers.postgres import PostgresServer
from aegis_dagster_tests.support.servers.programs import free_port


def full_device(_: Path) -> None:
    Path("/dev/full").write_text("x")


def file_for_folder(folder: Path) -> None:
    (folder / "file").write_text("x")
    (folder / "file" / "below").mkdir(parents=True)


def folder_over_file(folder: Path) -> None:
    (folder / "file").write_text("x")
    (folder / "file").mkdir()


def long_name(folder: Path) -> None:
    (folder / ("x" * 300)).mkdir()


def ring_of_links(folder: Path) -> None:
    (folder / "ring").symlink_to(folder / "ring")
    (folder / "ring").read_bytes()


def too_large(folder: Path) -> None:
    with no_file_above(1000):
        (folder / "file").write_bytes(b"x" * 2000)


def too_many_open(folder: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        os.open(folder, os.O_RDONLY)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def gone(folder: Path) -> None:
    (folder / "gone").read_bytes()


@contextmanager
def sqlite_file(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / "aegis.db", timeout=0, isolation_level=None)) as db:
        db.execute("CREATE TABLE t (x)")
        yield db


def locked(folder: Path) -> None:
    with sqlite_file(folder) as db, closing(sqlite3.connect(folder / "aegis.db", timeout=0)) as other:
        db.execute("BEGIN EXCLUSIVE")
        other.execute("SELECT * FROM t")


def full_database(folder: Path) -> None:
    with sqlite_file(folder) as db:
        db.execute("PRAGMA max_page_count = 3")
        db.execute("INSERT INTO t VALUES (randomblob(100000))")


def read_only(folder: Path) -> None:
    with sqlite_file(folder), closing(sqlite3.connect(f"file:{folder}/aegis.db?mode=ro", uri=True)) as other:
        other.execute("INSERT INTO t VALUES (1)")


def no_folder(folder: Path) -> None:
    sqlite3.connect(folder / "none" / "aegis.db")


def no_database(folder: Path) -> None:
    (folder / "aegis.db").write_bytes(b"no database" * 1000)
    with closing(sqlite3.connect(folder / "aegis.db")) as db:
        db.execute("SELECT * FROM t")


def damaged_pages(folder: Path) -> None:
    with sqlite_file(folder) as db:
        db.execute("CREATE INDEX i ON t (x)")
        db.executemany("INSERT INTO t VALUES (?)", [(f"{number:0100}",) for number in range(1000)])
    file = folder / "aegis.db"
    file.write_bytes(file.read_bytes()[:4096] + b"\xff" * (file.stat().st_size - 4096))
    with closing(sqlite3.connect(file)) as db:
        db.execute("SELECT max(x) FROM t").fetchall()


def disk_error(folder: Path) -> None:
    with sqlite_file(folder) as db, no_file_above(10_000):
        db.execute("INSERT INTO t VALUES (randomblob(100000))")


def other_tables(folder: Path) -> None:
    with sqlite_file(folder) as db:
        db.execute("SELECT * FROM documents")


FAULTS: list[tuple[Callable[[Path], None], Cause, str]] = [
    (full_device, Cause.FULL, "free space"),
    (file_for_folder, Cause.WRONG_KIND, "ls -ld"),
    (folder_over_file, Cause.WRONG_KIND, "ls -ld"),
    (long_name, Cause.LONG_NAME, "shorter path"),
    (ring_of_links, Cause.WRONG_KIND, "ls -ld"),
    (too_large, Cause.LIMIT, "ulimit -f"),
    (too_many_open, Cause.TOO_MANY_FILES, "ulimit -n"),
    (gone, Cause.GONE, "mount the disk"),
    (locked, Cause.BUSY, "wait until"),
    (full_database, Cause.FULL, "free space"),
    (read_only, Cause.READ_ONLY, "right to read and write"),
    (no_folder, Cause.NOT_OPENED, "folder of"),
    (no_database, Cause.DAMAGED, "backup"),
    (damaged_pages, Cause.DAMAGED, "backup"),
    (disk_error, Cause.DISK, "dmesg"),
    (other_tables, Cause.OTHER_TABLES, "aegis restore"),
]


@pytest.mark.parametrize(("fault", "cause", "remedy"), FAULTS, ids=lambda given: getattr(given, "__name__", ""))
def test_a_fault_has_its_cause_and_one_remedy(
    tmp_path: Path, fault: Callable[[Path], None], cause: Cause, remedy: str
) -> None:
    with pytest.raises((OSError, sqlite3.Error)) as raised:
        fault(tmp_path)
    assert cause_of(raised.value) is cause
    told = service_error(raised.value, place_of(sa.engine.make_url(f"sqlite:///{tmp_path}/aegis.db")))
    assert told is not None and remedy in told.remedy
    assert str(tmp_path) in str(told)
    assert isinstance(told, StoreBusy) is (cause is Cause.BUSY)
    # The home holds the ledger: nobody is told to delete it.
    assert not any(word in told.remedy.lower() for word in ("delete", "remove", "start over"))


def test_an_error_that_no_store_has_made_is_not_told_as_one() -> None:
    assert cause_of(ValueError("a bug")) is None
    assert cause_of(sqlite3.ProgrammingError("Cannot operate on a closed database.")) is None


def test_a_write_that_the_disk_refuses_is_told_and_the_next_one_works(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'aegis.db'}")
    row = {"id": "a", "collection": "c", "revision": "x" * 100_000, "stamp": "", "size_bytes": 1, "suffix": ""}
    row |= {"deleted": False, "first_seen_ms": 0}
    with no_file_above(50_000), pytest.raises(ServiceError, match="ulimit -f"), write(engine) as connection:
        connection.execute(sa.insert(documents), row)
    with write(engine) as connection:
        connection.execute(sa.insert(documents), row)
    with read(engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(documents)) == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://me:secret@host/name", "mysql"),
        ("postgres://me:secret@host/name", "postgres://"),
        ("postgresql+asyncpg://me:secret@host/name", "asyncpg"),
        ("sqlite+aiosqlite:///x.db", "aiosqlite"),
        ("postgresql://me:secret@host:port/name", "no URL"),
        ("nonsense", "no URL"),
        ("", "no URL"),
    ],
)
def test_a_database_that_cannot_be_used_is_a_wrong_setting(url: str, said: str) -> None:
    for opening in (open_database, lambda url: open_to_read(url, statement_seconds=1)):
        with pytest.raises(ConfigurationError, match=said) as raised:
            opening(url)
        assert "postgresql+psycopg2://" in raised.value.remedy
        assert "secret" not in str(raised.value)


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(ServiceError, match="does not answer") as raised:
        open_database(f"postgresql://me:secret@127.0.0.1:{free_port()}/name")
    assert "host, port" in raised.value.remedy and "secret" not in str(raised.value)


def test_a_server_that_refuses_tells_why(postgres: PostgresServer) -> None:
    url = sa.engine.make_url(postgres.new_database())
    for wrong in (url.set(database="none"), url.set(username="nobody")):
        with pytest.raises(ServiceError, match="refuses the login") as raised:
            open_database(wrong.render_as_string(hide_password=False))
        assert "AEGIS_DATABASE" in raised.value.remedy
    engine = open_database(url.render_as_string(hide_password=False))
    with pytest.raises(ServiceError, match="refuses the operation"), write(engine) as connection:
        connection.execute(sa.text("SET TRANSACTION READ ONLY"))
        connection.execute(sa.delete(documents))
    with write(engine) as connection:
        connection.execute(sa.text("DROP TABLE documents CASCADE"))
    with pytest.raises(ServiceError, match="tables of this version"), read(engine) as connection:
        connection.execute(sa.select(documents.c.id))
    engine.dispose()


@pytest.mark.parametrize("name", ["with space", "with#hash", "100%25", "Größe ä", "two\nlines", "quote'\""])
def test_a_database_may_lie_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    file = tmp_path / name / "aegis.db"
    open_database(f"sqlite:///{file}").dispose()
    assert file.is_file()
    open_to_read(f"sqlite:///{file}", statement_seconds=1).dispose()
