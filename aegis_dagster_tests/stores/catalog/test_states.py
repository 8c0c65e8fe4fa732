"""Reading a hundred thousand documents fast is exactly what is recorded of each."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from aegis_dagster.cli.views import status_values
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.document_state import DocumentState
from aegis_dagster.domain.fingerprints import wanted_fingerprints
from aegis_dagster.domain.stages import (
    ARTIFACT_STAGES,
    CUT_AT,
    UPSTREAM_FAILED,
    Document,
    Failure,
    Stage,
    StageState,
    Status,
)
from aegis_dagster.errors import FailureCode
from aegis_dagster.stores.catalog.pending_work import WorkLeft
from aegis_dagster.stores.catalog.repairs import CatalogRepairs
from aegis_dagster.stores.catalog.schema import documents, stage_states
from aegis_dagster.stores.catalog.states import ALL_FACTS
from aegis_dagster_tests.support.projects import make_project, scan, write_documents
from aegis_dagster_tests.support.servers.postgres import PostgresServer

MANY, NOW_MS, SEED = 400, 10_000_000, 7
FACTS: dict[Status, list[dict[str, Any]]] = {
    Status.DONE: [{}, {"points": 3, "coverage": 0.5}],
    Status.SKIPPED: [{}, {"why": "no pictures"}, {UPSTREAM_FAILED: True}, {"why": "not upstream_failed"}],
    Status.DEFERRED: [
        {"reason": "budget_exhausted", "why": "w", "until": "1970-01-01T01:00:00+00:00", "remedy": "r"},
        {"reason": "budget_exhausted", "why": "w", "until": "1970-01-02T01:00:00+00:00", "remedy": "r"},
        {"reason": "provider_unavailable", "why": "w", "until": "", "remedy": "r"},
    ],
}


def fill(project: Project) -> None:
    """Documents at every turn, most of them done at most stages; artifacts of some are lost."""
    chosen = random.Random(SEED)
    names = [f"{'abc'[number % 3]}/{number:03}.{chosen.choice(['txt', 'md'])}" for number in range(MANY)]
    write_documents(project.root, names, paragraphs=1)
    scan(project)
    rows = []
    for document in project.documents.all():
        enriched: dict[Stage, StageState] = {}
        odd = chosen.choice([*Stage, None])  # in half of them one stage stands out, in others any
        for stage in list(Stage)[: chosen.choice([5, 5, 5, 5, 3, 0])]:
            wanted = wanted_fingerprints(document, project.identities, enriched)[stage]
            plain = odd is not None and odd is not stage and chosen.random() < 0.9
            status = Status.DONE if plain else chosen.choice(list(Status))
            fingerprint = wanted if plain or chosen.random() < 0.6 else "of another time"
            if stage is Stage.ENRICH:
                enriched[stage] = StageState(status, fingerprint)
            failed = status is Status.FAILED
            rows.append(
                {
                    "document_id": document.id,
                    "stage": stage,
                    "status": status,
                    "fingerprint": fingerprint,
                    "attempts": chosen.choice([1, 2, 3]),
                    "error_code": "timeout" if failed else None,
                    "error_message": "slow" if failed else None,
                    "error_remedy": "wait" if failed else None,
                    "retryable": chosen.random() < 0.5 if failed else None,
                    "finished_ms": chosen.choice([None, 1, NOW_MS]),
                    "facts": json.dumps(chosen.choice(FACTS.get(status, [{}]))),
                }
            )
            path = project.artifacts.path(stage, fingerprint)
            path.parent.mkdir(parents=True, exist_ok=True)
            if chosen.random() < 0.03:
                path.touch()  # no artifact: those are folders
            elif chosen.random() < 0.95:
                path.mkdir(exist_ok=True)
    for number, row in enumerate(rows[::60]):  # answers of some were cut
        if row["status"] in (Status.DONE, Status.FAILED):
            row["facts"] = json.dumps({CUT_AT: 9 if number % 2 else 10**6})
    with project.engine.begin() as connection:
        connection.execute(sa.insert(stage_states), rows)
        connection.execute(sa.update(documents).where(documents.c.id.like("%0.txt")).values(deleted=True))


def plainly(project: Project, chosen: list[Document]) -> list[DocumentState]:
    """Documents, states and wanted fingerprints, each read and computed by itself."""
    found = []
    with project.engine.connect() as connection:
        for document in chosen:
            rows = connection.execute(sa.select(stage_states).where(stage_states.c.document_id == document.id)).all()
            recorded = {Stage(row.stage): _plain(row) for row in rows}
            mine = sa.select(documents.c.revision, documents.c.changed_ms).where(documents.c.id == document.id)
            row = connection.execute(mine).one_or_none()
            wanted = wanted_fingerprints(document, project.identities, recorded)
            changed_ms, edited = (row.changed_ms, row.revision != document.revision) if row else (0, False)
            now = project.identities
            state = DocumentState(document, recorded, wanted, changed_ms, edited, now.limits, now.answer_tokens)
            found.append(state)
    return found


def _plain(row: sa.Row[Any]) -> StageState:
    failure = None
    if row.error_code is not None and row.status == Status.FAILED:
        failure = Failure(FailureCode(row.error_code), row.error_message, row.error_remedy, row.retryable)
    times = row.started_ms, row.finished_ms
    return StageState(Status(row.status), row.fingerprint, row.attempts, failure, json.loads(row.facts), *times)


def is_stale(project: Project, state: DocumentState) -> bool:
    """Whether something is to be done at some stage, also an artifact to be made anew."""
    if not all(state.is_current(stage) for stage in Stage):
        return True
    made = [stage for stage in ARTIFACT_STAGES if state.recorded[stage].status is Status.DONE]
    return not all(project.artifacts.exists(stage, state.wanted[stage]) for stage in made)


@pytest.mark.parametrize("server", ["sqlite", "postgres"])
def test_what_is_read_fast_is_what_is_recorded_of_each_document(
    tmp_path: Path, server: str, request: pytest.FixtureRequest
) -> None:
    database = None
    if server == "postgres":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        database = postgres.new_database()
    project = make_project(tmp_path, database=database, collections={"b": {"enrich": False}, "c": {"graph": False}})
    fill(project)
    rows = plainly(project, project.documents.all())
    assert list(project.states.every(ALL_FACTS)) == rows

    unsettled = list(project.states.unsettled())
    plain = {state.document.id: state.all_plainly_done() for state in rows}
    left_out = plain.keys() - {state.document.id for state in unsettled}
    assert all(plain[name] for name in left_out) and len(left_out) > 9
    doubtful = [str(state) for state in unsettled if plain[state.document.id]]
    assert all(CUT_AT in state or UPSTREAM_FAILED in state for state in doubtful)
    of_all = {state.document.id: state for state in project.states.every()}
    assert unsettled == [of_all[state.document.id] for state in unsettled]

    stale = [state.document for state in rows if is_stale(project, state)]
    listed = project.artifacts.listed()
    assert project.reports.stale(listed) == project.reports.stale(project.artifacts.exists) == stale
    only_embedding = {state.document.id for state in rows if state.only_embedding_is_stale()}
    without = [one for one in stale if one.id not in only_embedding]
    assert project.reports.stale(listed, embed_anew=False) == without
    by_status: Counter[Status] = Counter(state.status for state in rows)
    assert project.reports.survey(listed) == project.reports.survey(listed, project.documents.all())
    assert project.reports.survey(listed) == (stale, by_status)
    repairs = CatalogRepairs(project.engine, project.clock)
    points = sum(published.points for published in repairs.published().values())
    assert repairs.published_points() == points > 0

    work = WorkLeft(project.engine, project.identities)
    waiting = [state.document for state in rows if state.has_work(NOW_MS)]
    found = work.by_collection(NOW_MS)
    assert {name: [one.id for one in each] for name, each in found.items()} == {
        name: [one.id for one in waiting if one.collection == name] for name in ("a", "b", "c")
    }
    found = work.by_collection(NOW_MS, embed_anew=False)
    assert sorted(one.id for each in found.values() for one in each) == [
        one.id for one in waiting if one.id not in only_embedding
    ]
    otherwise = {state.document.id for state in rows if state.is_embedded_otherwise()}
    assert work.embedded_otherwise(NOW_MS) == [one for one in waiting if one.id in otherwise]
    # Of every kind there are some, and others.
    assert all(3 < len(kind) < len(rows) - 3 for kind in (stale, without, waiting, otherwise, only_embedding))
    project.close()


def test_documents_that_were_changed_or_forgotten_meanwhile_are_judged_as_they_were_given(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    fill(project)
    given = project.documents.all()[::3]
    with project.engine.begin() as connection:
        connection.execute(sa.update(documents).where(documents.c.id == given[0].id).values(revision="other"))
        connection.execute(sa.update(documents).where(documents.c.id == given[1].id).values(deleted=True))
        connection.execute(sa.delete(documents).where(documents.c.id == given[2].id))
    rows = plainly(project, given)
    assert rows[2].recorded == {}
    assert list(project.states.of(given[::-1])) == rows
    stale = [state.document for state in rows if is_stale(project, state)]
    assert project.reports.stale(project.artifacts.listed(), given[::-1]) == stale
    project.close()


def test_failures_and_waiting_documents_are_told_with_all_that_was_recorded(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    fill(project)
    failures = status_values(project)["failures"]
    assert {(one["message"], one["remedy"]) for one in failures} == {("slow", "wait")}
    waiting = [(one["reason"], one["why"]) for one in status_values(project)["waiting"]]
    assert len(waiting) == len(set(waiting)) > 0
