"""Many documents are claimed, recorded, released and swept together, on each database by as few statements as one."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from aegis_dagster.domain.identifiers import DocumentId, Revision
from aegis_dagster.domain.listing import Listing, SeenFile, diff_listing
from aegis_dagster.domain.stages import Failure, Outcome, Stage, Status
from aegis_dagster.errors import FailureCode
from aegis_dagster.stores.catalog.claims import SLICE, Catalog
from aegis_dagster.stores.catalog.documents import DocumentList
from aegis_dagster.stores.catalog.schema import artifact_garbage, stage_states, stage_totals
from aegis_dagster.stores.database import open_database
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.counting import database_work
from aegis_dagster_tests.support.servers.postgres import PostgresServer

DONE = Outcome(Status.DONE, {"pages": 2}, seconds=0.25)
FAILED = Outcome(Status.FAILED, failure=Failure(FailureCode.TIMEOUT, "slow", "wait", True), seconds=1.0)


@pytest.fixture(params=["sqlite", "postgres"])
def url(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'aegis.db'}"
    postgres: PostgresServer = request.getfixturevalue("postgres")
    return postgres.new_database()


def put(listed: DocumentList, names: list[str]) -> None:
    listing = Listing({DocumentId(name): SeenFile(Revision("r1"), "r1", 1) for name in names})
    listed.apply(listing, diff_listing(listing, listed.known()), delete=True)


def rows_of(engine: sa.Engine, *columns: sa.ColumnElement[object]) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(*columns))]


def test_many_are_claimed_recorded_and_released_by_the_statements_of_one(url: str) -> None:
    engine, clock = open_database(url), SetClock()
    catalog, listed = Catalog(engine, clock, lease_seconds=60), DocumentList(engine, clock)
    names = [DocumentId(f"c/{number:04}") for number in range(SLICE)]
    put(listed, list(names))

    def passed(ids: list[DocumentId], fingerprint: str) -> list[int]:
        """The statements of each step for these documents, of which every second is recorded."""

        def sent(step: Callable[[], object]) -> int:
            with database_work() as work:
                step()
            assert work.commits == 1
            return len(work.statements)

        wanted = dict.fromkeys(ids, (Revision("r1"), fingerprint))
        outcomes = {name: (fingerprint, FAILED if place % 3 else DONE) for place, name in enumerate(ids[::2])}
        return [
            sent(lambda: catalog.claim(Stage.PARSE, wanted)),
            sent(lambda: catalog.finish(Stage.PARSE, outcomes)),
            sent(lambda: catalog.release(Stage.PARSE, ids)),
            sent(lambda: catalog.still_held(Stage.PARSE, dict.fromkeys(ids, fingerprint))),
        ]

    one = passed(names[:1], "f1")
    assert max(one) <= 6
    assert passed(names[1:], "f1") == one
    s, t = stage_states.c, stage_totals.c
    ended = rows_of(engine, s.document_id, s.status, s.attempts, s.error_code, s.lease_owner, s.facts, s.seconds)
    first, *others = [tuple(row) for row in ended]
    assert first == (names[0], "done", 1, None, None, '{"pages": 2}', 0.25)
    assert others[:3] == [
        (names[1], "done", 1, None, None, '{"pages": 2}', 0.25),
        (names[2], "pending", 0, None, None, "{}", None),
        (names[3], "failed", 1, "timeout", None, "{}", 1.0),
    ]
    done = sum(row[1] == "done" for row in ended)
    failed = sum(row[1] == "failed" for row in ended)
    assert rows_of(engine, t.status, t.documents, t.milliseconds) == [
        ("done", done, done * 250),
        ("failed", failed, failed * 1000),
    ]
    assert done + failed == 1 + len(names[1::2])
    engine.dispose()


def test_a_lease_that_was_lost_costs_the_others_of_its_batch_nothing(url: str) -> None:
    engine, clock = open_database(url), SetClock()
    mine, other = (Catalog(engine, clock, lease_seconds=60) for _ in range(2))
    listed, names = DocumentList(engine, clock), [DocumentId(f"c/{number}") for number in range(4)]
    put(listed, list(names))
    wanted = dict.fromkeys(names, (Revision("r1"), "f1"))
    assert mine.claim(Stage.PARSE, wanted) == names
    clock.move(61)
    assert other.claim(Stage.PARSE, {names[2]: wanted[names[2]]}) == [names[2]]
    assert mine.still_held(Stage.PARSE, dict.fromkeys(names, "f1")) == {*names} - {names[2]}
    mine.finish(Stage.PARSE, {name: ("another" if name == names[3] else "f1", DONE) for name in names})
    states = rows_of(engine, stage_states.c.document_id, stage_states.c.status)
    assert [status for _, status in states] == ["done", "done", "running", "running"]
    assert rows_of(engine, stage_totals.c.documents) == [(2,)]
    engine.dispose()


def test_many_deleted_documents_are_claimed_and_their_artifacts_swept_together(url: str) -> None:
    engine, clock = open_database(url), SetClock()
    catalog, other = (Catalog(engine, clock, lease_seconds=60) for _ in range(2))
    listed, names = DocumentList(engine, clock), [DocumentId(f"c/{number:03}") for number in range(40)]
    put(listed, list(names))
    shared = {name: (Revision("r1"), f"f{place // 2}") for place, name in enumerate(names)}
    catalog.claim(Stage.PARSE, shared)
    catalog.finish(Stage.PARSE, {name: (fingerprint, DONE) for name, (_, fingerprint) in shared.items()})
    assert other.claim(Stage.EMBED, {names[2]: (Revision("r1"), "e")}) == [names[2]]  # works on it when it goes
    put(listed, [names[0]])
    gone: list[DocumentId] = []
    statements = []
    for limit in (10, 28):
        with database_work() as work:
            claimed = catalog.claim_deleted(limit=limit)
        statements.append(len(work.statements))
        listed.forget(claimed)
        gone += claimed
    assert statements[0] == statements[1]
    assert gone == [name for name in names[1:] if name != names[2]]
    garbage = catalog.garbage()
    assert sorted(garbage) == sorted((Stage.PARSE, f"f{number}") for number in range(20))
    swept: list[tuple[Stage, str]] = []
    with database_work() as work:
        assert catalog.sweep(garbage, swept.extend) == 18
    assert work.commits == 1 and len(work.statements) <= 4
    assert {*garbage} - {*swept} == {(Stage.PARSE, "f0"), (Stage.PARSE, "f1")}  # of the first, and of the busy one
    assert rows_of(engine, artifact_garbage.c.fingerprint) == []
    engine.dispose()
