"""Who has work now, and which runs are asked for: tables of the pure rules."""

import pytest

from aegis_dagster.domain.document_state import RETRY_AFTER_MS, DocumentState
from aegis_dagster.domain.identifiers import CollectionName, DocumentId, Revision
from aegis_dagster.domain.run_requests import Ended, Waiting, digest_of_work, plan_requests, rest_ms
from aegis_dagster.domain.stages import UPSTREAM_FAILED, Document, Failure, Stage, StageState, Status
from aegis_dagster.errors import FailureCode

WANTED = {stage: f"{stage}-1" for stage in Stage}
PASSING = Failure(FailureCode.UNREADABLE_FILE, "", "", True)
FINAL = Failure(FailureCode.EMPTY_FILE, "", "", False)
BUDGET = {"reason": "budget", "until": "1970-01-01T00:00:10+00:00"}
C = CollectionName("c")
Work = dict[CollectionName | None, list[Waiting]]


def done(**other: StageState) -> dict[Stage, StageState]:
    states = {stage: StageState(Status.DONE, WANTED[stage]) for stage in Stage}
    return states | {Stage(name): state for name, state in other.items()}


def failed(stage: Stage, failure: Failure, attempts: int = 1) -> StageState:
    return StageState(Status.FAILED, WANTED[stage], attempts, failure)


def deferred(stage: Stage, facts: dict[str, str]) -> StageState:
    return StageState(Status.DEFERRED, WANTED[stage], facts=facts)


def after_failed_parse(failure: Failure) -> dict[Stage, StageState]:
    """Nothing comes after a parse that failed."""
    later = {stage: StageState(Status.SKIPPED, WANTED[stage], facts={UPSTREAM_FAILED: True}) for stage in Stage}
    return later | {Stage.PARSE: failed(Stage.PARSE, failure)}


@pytest.mark.parametrize(
    ("states", "now_ms", "work"),
    [
        ({}, 0, True),  # new
        (done(), 0, False),
        (done(embed=StageState(Status.DONE, "embed-0")), 0, True),  # another model
        (done(graph=StageState(Status.PENDING, WANTED[Stage.GRAPH])), 0, True),  # a run stopped
        (after_failed_parse(FINAL), 10**12, False),
        ({Stage.PARSE: failed(Stage.PARSE, FINAL)}, 0, True),  # what was published of it must go
        ({Stage.PARSE: failed(Stage.PARSE, PASSING)}, RETRY_AFTER_MS - 1, False),
        ({Stage.PARSE: failed(Stage.PARSE, PASSING)}, RETRY_AFTER_MS, True),
        (done(graph=failed(Stage.GRAPH, PASSING, attempts=3)), 10**12, False),  # tried often enough
        (done(graph=deferred(Stage.GRAPH, BUDGET)), 9_999, False),
        (done(graph=deferred(Stage.GRAPH, BUDGET)), 10_000, True),  # another month
        (done(graph=deferred(Stage.GRAPH, {**BUDGET, "reason": "providers"})), 10**12, False),
        (done(graph=deferred(Stage.GRAPH, {"reason": "budget", "until": ""})), 10**12, False),
        (done(enrich=deferred(Stage.ENRICH, BUDGET), chunk=StageState(Status.DONE, "chunk-0")), 0, True),
    ],
)
def test_a_document_has_work_when_a_run_now_would_do_something(
    states: dict[Stage, StageState], now_ms: int, work: bool
) -> None:
    document = Document(DocumentId("c/a.txt"), C, Revision("r"), 1, ".txt")
    assert DocumentState(document, states, WANTED).has_work(now_ms) is work


def waiting(name: str, changed_ms: int = 5, revision: str = "r") -> Waiting:
    return Waiting(DocumentId(name), changed_ms, revision)


def test_the_digest_follows_documents_revisions_and_times_in_any_order() -> None:
    one, two = waiting("c/a"), waiting("c/b")
    digest = digest_of_work(C, [one, two], None)
    assert digest == digest_of_work(C, [two, one], None)
    others = [
        digest_of_work(C, [one], None),
        digest_of_work(C, [one, waiting("c/b", changed_ms=6)], None),
        digest_of_work(C, [one, waiting("c/b", revision="s")], None),
        digest_of_work(CollectionName("d"), [one, two], None),
        digest_of_work(None, [one, two], None),
    ]
    assert len({digest, *others}) == 6


def test_a_run_at_work_covers_what_was_there_when_it_was_made() -> None:
    work: Work = {C: [waiting("c/a", changed_ms=5)]}
    covered = plan_requests(work, {C: "d"}, active_ms={C: 5}, ended={}, now_ms=0)
    assert (covered.requests, covered.at_work) == ((), ("c",))
    newer = plan_requests(work, {C: "d"}, active_ms={C: 4}, ended={}, now_ms=0)
    assert [request.run_key for request in newer.requests] == ["d-0-0"]


def test_after_runs_that_left_the_same_undone_there_is_a_rest_and_another_key() -> None:
    work: Work = {C: [waiting("c/a")]}
    ended = {"d": Ended(2, 1000)}
    early = plan_requests(work, {C: "d"}, active_ms={}, ended=ended, now_ms=1000 + rest_ms(2) - 1)
    assert (early.requests, early.resting) == ((), ("c",))
    due = plan_requests(work, {C: "d"}, active_ms={}, ended=ended, now_ms=1000 + rest_ms(2))
    assert [request.run_key for request in due.requests] == ["d-2-1000"]
    again = plan_requests(work, {C: "d"}, active_ms={}, ended=ended, now_ms=1001 + rest_ms(2))
    assert again.requests == due.requests  # a look repeated
    one_deleted = plan_requests(work, {C: "d"}, active_ms={}, ended={"d": Ended(1, 1000)}, now_ms=1000 + rest_ms(2))
    assert [request.run_key for request in one_deleted.requests] == ["d-1-1000"]
    minutes = [rest_ms(runs) // 60_000 for runs in (1, 2, 3, 7, 8, 1000)]
    assert minutes == [5, 10, 20, 320, 360, 360]


def test_ten_requests_at_most_and_removal_goes_first() -> None:
    names = [CollectionName(f"c{number:02}") for number in range(12)]
    work: Work = {None: [waiting("x/gone")]}
    work.update({name: [waiting(f"{name}/a")] for name in names})
    plan = plan_requests(work, {name: str(name) for name in work}, active_ms={}, ended={}, now_ms=0)
    assert [request.collection for request in plan.requests] == [None, *names[:9]]
    assert plan.later == ("c09", "c10", "c11")


def test_a_request_says_why() -> None:
    documents = [waiting(f"c/{number}") for number in range(7)]
    plan = plan_requests({C: documents, None: []}, {C: "d", None: "e"}, active_ms={}, ended={}, now_ms=0)
    assert [request.why for request in plan.requests] == [
        "the vector store is gone",
        "c/0, c/1, c/2, c/3, c/4 and 2 more",
    ]
