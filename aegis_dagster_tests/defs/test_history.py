"""The SQLite files of a Dagster instance stay open while many records are written."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from aegis_dagster.defs.history import history_kept_open


def history(file: Path) -> sa.Engine:
    """As Dagster opens a file: anew for each record."""
    file.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(f"sqlite:///{file}", poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE records (number INTEGER)"))
        connection.execute(sa.text("PRAGMA journal_mode=WAL"))
    return engine


def record(engine: sa.Engine) -> int:
    """Write a record. Returns how carefully."""
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO records VALUES (1)"))
        return int(connection.execute(sa.text("PRAGMA synchronous")).scalar_one())


def log_of(file: Path) -> Path:
    """The write-ahead log, which the last connection that closes deletes."""
    return file.with_name(f"{file.name}-wal")


def test_a_file_stays_open_until_the_block_ends(tmp_path: Path) -> None:
    file = tmp_path / "dagster" / "runs.db"
    engine = history(file)
    with history_kept_open(tmp_path / "dagster"):
        assert not log_of(file).exists()
        assert [record(engine), record(engine)] == [1, 1]  # NORMAL
        assert log_of(file).exists()
    assert not log_of(file).exists()
    assert record(engine) == 2  # FULL: as it was
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM records")).scalar_one() == 3


def test_a_file_that_is_made_within_the_block_is_kept_open_too(tmp_path: Path) -> None:
    file = tmp_path / "dagster" / "history" / "a.db"
    with history_kept_open(tmp_path / "dagster"):
        record(history(file))
        assert log_of(file).exists()
    assert not log_of(file).exists()


def test_files_elsewhere_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "catalog.db"
    engine = history(file)
    with history_kept_open(tmp_path / "dagster"):
        assert record(engine) == 2
        assert not log_of(file).exists()


def test_a_damaged_file_is_told_of_by_the_statement(tmp_path: Path) -> None:
    file = tmp_path / "dagster" / "runs.db"
    engine = history(file)
    file.write_bytes(b"damaged " * 500)
    with history_kept_open(tmp_path / "dagster"), pytest.raises(sa.exc.DatabaseError, match="not a database"):
        record(engine)


def test_of_the_files_of_many_runs_only_the_last_ones_stay_open(tmp_path: Path) -> None:
    folder = tmp_path / "dagster"
    shared = folder / "index.db"
    writer = history(shared)
    with history_kept_open(folder):
        for number in range(20):
            record(history(folder / f"{number}.db"))
            record(writer)
        held = [number for number in range(20) if log_of(folder / f"{number}.db").exists()]
        assert held == list(range(5, 20))
        assert log_of(shared).exists()
    assert not list(folder.glob("*-wal"))
