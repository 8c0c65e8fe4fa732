"""A database moves to a server whole: killed anywhere it goes on, and it takes the place of nothing else."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from aegis_dagster.errors import ConfigurationError, ServiceError
from aegis_dagster.progress import Silent
from aegis_dagster.stores import moving
from aegis_dagster.stores.alerts.schema import alert_messages
from aegis_dagster.stores.catalog.schema import documents, embedding_cache, picture_descriptions, stage_states
from aegis_dagster.stores.database import metadata, open_database, open_to_read, write
from aegis_dagster.stores.moving import Contents, copy_database
from aegis_dagster_tests.support.bulk_rows import add_calls, add_documents
from aegis_dagster_tests.support.servers.postgres import PostgresServer

MANY = 450  # documents, whose states are more than are copied in one transaction
MOST_COMMITS = 60
ODD = "Zeile\n\"ünï\" ☃ 😀 \\N \\x00 'quoted' %s {0}"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[sa.Engine]:
    """A SQLite database with rows of every kind of column."""
    engine = open_database(f"sqlite:///{tmp_path / 'aegis.db'}")
    fill(tmp_path / "aegis.db", engine, MANY)
    yield engine
    engine.dispose()


def fill(file: Path, engine: sa.Engine, count: int) -> None:
    add_documents(file, count, collections=3)
    add_calls(file, 50)
    with write(engine) as connection:
        vectors = [{"model": "m", "text_hash": f"{n}", "vector": os.urandom(64)} for n in range(20)]
        connection.execute(sa.insert(embedding_cache), vectors)
        picture = {"describer": "d", "picture_hash": ODD, "text": f"a\0b {ODD}", "described_by": "d"}
        connection.execute(sa.insert(picture_descriptions), picture)
        page = {"channel": "c", "key": "k", "firing": True, "page": "{}", "created_us": 2**60}
        connection.execute(sa.insert(alert_messages), [page, page])


def moved(home: sa.Engine, url: str, name: str = "mine") -> dict[str, Contents]:
    with write(home) as source:
        return copy_database(source, url, name, Silent())


def move_until(home_url: str, url: str, commits: int) -> None:
    """Move, and be killed when the transaction with this number is to be committed."""
    seen = 0

    def killed(_connection: object) -> None:
        nonlocal seen
        seen += 1
        if seen == commits:
            os.kill(os.getpid(), signal.SIGKILL)

    source = sa.create_engine(home_url)
    sa.event.listen(sa.Engine, "commit", killed)
    with source.connect() as connection:
        copy_database(connection, url, "mine", Silent())


def fails(opened: Callable[[], sa.Engine]) -> bool:
    """Whether somebody who opens the target is told that it is not complete."""
    try:
        opened().dispose()
    except ServiceError as error:
        assert "is not complete" in error.message
        return True
    return False


def rows_of(engine: sa.Engine, table: sa.Table) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(sa.select(table))]
    return sorted(rows, key=repr)


def test_every_row_is_there_and_both_count_and_sum_up_to_the_same(home: sa.Engine, postgres: PostgresServer) -> None:
    url = postgres.new_database()
    found = moved(home, url)
    assert found["documents"].rows == MANY
    assert found["stage_states"].rows == MANY * 5
    target = open_database(url)
    for table in metadata.sorted_tables:
        if table is not picture_descriptions:
            assert rows_of(target, table) == rows_of(home, table), table.name
    assert rows_of(target, picture_descriptions)[0][2] == f"a\ufffdb {ODD}"  # Postgres has no NUL
    assert moved(home, url) == found  # all is there: nothing to do
    with write(target) as connection:  # numbers go on where they were
        connection.execute(sa.insert(alert_messages).values(channel="c", key="k", firing=True, page="", created_us=1))
        assert connection.execute(sa.select(sa.func.max(alert_messages.c.id))).scalar_one() == 3
        assert not sa.inspect(connection).has_table("aegis_move")
    target.dispose()


def test_a_move_that_is_killed_at_each_commit_goes_on_and_nobody_uses_a_half(
    home: sa.Engine, postgres: PostgresServer
) -> None:
    url, home_url = postgres.new_database(), home.url.render_as_string()
    found: list[tuple[bool, bool]] = []
    for commits in range(1, MOST_COMMITS, 6):
        process = multiprocessing.get_context("fork").Process(target=move_until, args=(home_url, url, commits))
        process.start()
        process.join(120)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        if commits > 4:  # the tables, and the mark, are there
            found.append((fails(lambda: open_database(url)), fails(lambda: open_to_read(url, statement_seconds=9))))
    assert len(found) > 4
    assert found == sorted(found, reverse=True)  # at most the last one was killed when all was there
    assert found[-2] == (True, True)
    assert moved(home, url)["stage_states"].rows == MANY * 5


def test_what_changed_in_the_home_since_an_interruption_is_copied_again(
    home: sa.Engine, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.new_database()
    process = multiprocessing.get_context("fork").Process(
        target=move_until, args=(home.url.render_as_string(), url, 14)
    )
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    with write(home) as connection:
        first = sa.select(documents.c.id).order_by(documents.c.id).limit(1).scalar_subquery()
        connection.execute(sa.update(documents).where(documents.c.id == first).values(revision="edited"))
        connection.execute(sa.delete(stage_states).where(stage_states.c.document_id == first))
    moved(home, url)
    target = open_database(url)
    for table in (documents, stage_states):
        assert rows_of(target, table) == rows_of(home, table)
    target.dispose()


def test_a_target_that_holds_anything_else_is_refused_and_left_as_it_is(
    home: sa.Engine, postgres: PostgresServer, tmp_path: Path
) -> None:
    other = open_database(f"sqlite:///{tmp_path / 'other.db'}")
    fill(tmp_path / "other.db", other, 10)
    url = postgres.new_database()
    found = moved(other, url, "other")
    with pytest.raises(ConfigurationError, match="holds another home"):
        moved(home, url)
    assert moved(other, url, "other") == found
    other.dispose()

    foreign = sa.create_engine(postgres.new_database())
    with foreign.begin() as connection:
        connection.execute(sa.text("CREATE TABLE documents (name text)"))
    with pytest.raises(ConfigurationError, match="tables of another program: documents"):
        moved(home, foreign.url.render_as_string(hide_password=False))
    assert sa.inspect(foreign).get_table_names() == ["documents"]
    foreign.dispose()

    begun = postgres.new_database()
    process = multiprocessing.get_context("fork").Process(
        target=move_until, args=(home.url.render_as_string(), begun, 6)
    )
    process.start()
    process.join(120)
    with pytest.raises(ConfigurationError, match="a part of another home"):
        moved(home, begun, "another")


def test_the_notes_of_a_move_are_no_table_of_the_schema() -> None:
    assert moving._notes.name not in metadata.tables
