"""The limits of one document: what goes over them, and when a refused document fits again."""

import pytest

from aegis_dagster.domain.document_state import DocumentState, Readiness, Why
from aegis_dagster.domain.identifiers import CollectionName, DocumentId, Revision
from aegis_dagster.domain.limits import NO_LIMITS, Demand, DocumentLimits, Spent
from aegis_dagster.domain.stages import UPSTREAM_FAILED, Document, Stage, StageState, Status, failed
from aegis_dagster.errors import OverLimit

PUBLISHED = (Stage.EMBED, Stage.GRAPH)
LIMITS = DocumentLimits(chunks=10, calls=20, cost=2_000_000_000)


@pytest.mark.parametrize(
    ("demand", "spent", "over"),
    [
        (Demand(10, 20, 2_000_000_000), Spent(), {}),
        (Demand(11, 20, 0), Spent(), {"limits.max_chunks": 11}),
        (Demand(0, 21, 0), Spent(), {"limits.max_calls": 21}),
        (Demand(0, 1, 2_000_000_001), Spent(), {"limits.max_usd": 2_000_000_001}),
        (Demand(0, 15, 1_500_000_000), Spent(5, 500_000_000), {}),
        (Demand(0, 15, 0), Spent(6, 9_000_000_000), {"limits.max_calls": 21}),  # a local model: money is no matter
        (Demand(0, 1, 1), Spent(0, 2_000_000_000), {"limits.max_usd": 2_000_000_001}),
        (Demand(5, 0, 0), Spent(99, 9_000_000_000), {}),  # nothing more is asked
        (Demand(12, 30, 0), Spent(), {"limits.max_chunks": 12, "limits.max_calls": 30}),
    ],
)
def test_a_document_over_a_limit_is_refused_with_what_it_needs(
    demand: Demand, spent: Spent, over: dict[str, int]
) -> None:
    error = LIMITS.refusal(demand, spent)
    assert (error.needs if error else {}) == over
    assert NO_LIMITS.refusal(demand, spent) is None
    if error:
        assert all(name in error.message and name in error.remedy for name in over)


def test_the_remedy_names_a_value_that_suffices() -> None:
    error = LIMITS.refusal(Demand(calls=1, cost=2_345_678_901), Spent(3, 1))
    assert error is not None and "limits.max_usd to 2.35 or more" in error.remedy
    assert DocumentLimits(cost=2_350_000_000).allows({OverLimit.FACT: error.needs})
    assert not DocumentLimits(cost=2_340_000_000).allows({OverLimit.FACT: error.needs})


def refused(stage: Stage, limits: DocumentLimits) -> DocumentState:
    """A document that was refused at a stage, with these limits now."""
    error = LIMITS.refusal(Demand(chunks=12))
    assert error is not None
    outcome = failed(error)
    done = {each: StageState(Status.DONE, each.value) for each in (Stage.PARSE, Stage.ENRICH)}
    cleared = {each: StageState(Status.SKIPPED, each.value, facts={UPSTREAM_FAILED: True}) for each in PUBLISHED}
    state = StageState(Status.FAILED, stage.value, 1, outcome.failure, outcome.facts, 0, 1)
    document = Document(DocumentId("c/a.txt"), CollectionName("c"), Revision("r"), 1, ".txt")
    wanted = {each: each.value for each in Stage}
    return DocumentState(document, {**done, **cleared, stage: state}, wanted, limits=limits)


def test_a_raised_limit_makes_work_of_a_refused_document_and_a_lower_one_does_not() -> None:
    for limits in (LIMITS, DocumentLimits(chunks=1, calls=0, cost=0), DocumentLimits(chunks=11)):
        state = refused(Stage.CHUNK, limits)
        assert state.work(Stage.CHUNK) is None and not state.has_work(2)
        assert state.readiness(Stage.EMBED) is Readiness.CLEAR
    raised = refused(Stage.CHUNK, DocumentLimits(chunks=12))
    assert raised.work(Stage.CHUNK) is Why.RAISED and raised.has_work(2)  # without a rest after the failure
    assert raised.readiness(Stage.EMBED) is Readiness.BLOCKED
    assert raised.planned(lambda *_: True) == {
        Stage.CHUNK: Why.RAISED,
        Stage.EMBED: Why.FOLLOWS,
        Stage.GRAPH: Why.FOLLOWS,
    }


def test_a_limit_does_nothing_to_what_is_done() -> None:
    done = {stage: StageState(Status.DONE, stage.value) for stage in Stage}
    state = refused(Stage.CHUNK, DocumentLimits(chunks=1, calls=0, cost=0))
    assert not DocumentState(state.document, done, state.wanted, limits=state.limits).has_work(2)
