"""Moved documents keep what was computed, however many there are, and a look writes only what is different."""

import hashlib
from pathlib import Path

import pytest
import sqlalchemy as sa

from aegis_dagster.domain.identifiers import DocumentId, Revision
from aegis_dagster.domain.listing import Listing, PassedOver, SeenFile, diff_listing
from aegis_dagster.domain.stages import ARTIFACT_STAGES, Stage, Status
from aegis_dagster.stores.catalog.documents import DocumentList
from aegis_dagster.stores.catalog.schema import artifact_garbage, passed_over_files, stage_states
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster.stores.database import open_database
from aegis_dagster_tests.support.counting import database_work
from aegis_dagster_tests.support.servers.postgres import PostgresServer


def put(listed: DocumentList, files: dict[str, str], passed_over: tuple[PassedOver, ...] = ()) -> None:
    """A listing of files by name, with their revisions."""
    seen = {DocumentId(name): SeenFile(Revision(value), value, 1) for name, value in files.items()}
    listing = Listing(seen, passed_over)
    listed.apply(listing, diff_listing(listing, listed.known()), delete=True)


def set_states(engine: sa.Engine, *rows: tuple[str, Stage, Status, str]) -> None:
    names = ("document_id", "stage", "status", "fingerprint", "lease_owner", "facts")
    values = [dict(zip(names, (*row, "somebody", f'{{"of": "{row[3]}"}}'), strict=True)) for row in rows]
    with engine.begin() as connection:
        connection.execute(sa.insert(stage_states), values)


def states_of(engine: sa.Engine, name: str) -> dict[str, tuple[str, str, str | None, str]]:
    s = stage_states.c
    query = sa.select(s.stage, s.status, s.fingerprint, s.lease_owner, s.facts).where(s.document_id == name)
    with engine.connect() as connection:
        return {row.stage: tuple(row)[1:] for row in connection.execute(query)}


@pytest.mark.parametrize("server", ["sqlite", "postgres"])
def test_a_move_takes_finished_artifacts_along_and_discards_those_in_their_place(
    tmp_path: Path, server: str, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'aegis.db'}"
    if server == "postgres":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        url = postgres.new_database()
    engine = open_database(url)
    listed = DocumentList(engine, SystemClock())
    put(listed, {"a/1": "r1", "a/2": "r2", "b/2": "old"})
    set_states(
        engine,
        ("a/1", Stage.PARSE, Status.DONE, "p1"),
        ("a/1", Stage.ENRICH, Status.FAILED, "e1"),
        ("a/1", Stage.EMBED, Status.DONE, "v1"),
        ("a/2", Stage.PARSE, Status.DONE, "same"),
        ("a/2", Stage.ENRICH, Status.SKIPPED, "e2"),
        ("a/2", Stage.CHUNK, Status.DONE, "c2"),
        ("b/2", Stage.PARSE, Status.RUNNING, "same"),
        ("b/2", Stage.ENRICH, Status.DONE, "replaced"),
        ("b/2", Stage.EMBED, Status.DONE, "points of the old bytes"),
    )
    put(listed, {"b/1": "r1", "b/2": "r2"})
    assert states_of(engine, "b/1") == {"parse": ("done", "p1", None, '{"of": "p1"}')}
    assert states_of(engine, "b/2") == {
        "parse": ("done", "same", None, '{"of": "same"}'),
        "enrich": ("skipped", "e2", None, '{"of": "e2"}'),
        "chunk": ("done", "c2", None, '{"of": "c2"}'),
        "embed": ("done", "points of the old bytes", "somebody", '{"of": "points of the old bytes"}'),
    }
    with engine.connect() as connection:
        garbage = [tuple(row) for row in connection.execute(sa.select(artifact_garbage))]
    assert garbage == [("enrich", "replaced")]
    assert listed.deleted() == ["a/1", "a/2"]
    engine.dispose()


def test_the_statements_of_a_renamed_folder_do_not_grow_with_its_documents(tmp_path: Path) -> None:
    statements = []
    for documents in (100, 1000):
        engine = open_database(f"sqlite:///{tmp_path / str(documents)}.db")
        listed = DocumentList(engine, SystemClock())
        files = {f"a/{number:05}": hashlib.sha256(str(number).encode()).hexdigest() for number in range(documents)}
        put(listed, files)
        set_states(engine, *((name, stage, Status.DONE, f"{stage}{name}") for name in files for stage in Stage))
        with database_work() as work:
            put(listed, {f"renamed/{name}": revision for name, revision in files.items()})
        statements.append(len(work.on("stage_states")))
        assert states_of(engine, f"renamed/a/{documents - 1:05}").keys() == set(ARTIFACT_STAGES)
        assert len(listed.deleted()) == documents
        engine.dispose()
    assert statements[0] == statements[1]  # one for each document and stage held the database for 14 minutes


def test_what_was_passed_over_before_is_not_written_again(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'aegis.db'}")
    listed = DocumentList(engine, SystemClock())
    written: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_rest: written.append(statement))

    def look(*items: PassedOver, scope: str = "") -> int:
        """How many statements changed the table."""
        written.clear()
        listing = Listing({}, items)
        listed.apply(listing, diff_listing(listing, {}), delete=True, scope=scope)
        return sum(passed_over_files.name in each and not each.startswith("SELECT") for each in written)

    gone, kept, folder = (PassedOver(path, "broken_link", "mend it.", False) for path in ("a/1", "b/2", "c/"))
    assert look(gone, kept, folder) == 1
    assert look(folder, kept, gone) == 0
    assert listed.passed_over() == [gone, kept, folder]
    other = PassedOver("b/2", "unreadable", "allow it.", False)
    assert look(other, other, scope="b") == 1  # what lies elsewhere was not looked at
    assert listed.passed_over() == [gone, other, folder]
    assert look(other, folder) == 1
    assert look(scope="c") == 1
    assert listed.passed_over() == [other]
    engine.dispose()
