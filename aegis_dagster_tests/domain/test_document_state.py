"""Why a run would work on a document at each stage."""

from collections.abc import Mapping
from typing import Any

import pytest

from aegis_dagster.domain.document_state import DocumentState, Why
from aegis_dagster.domain.identifiers import CollectionName, DocumentId, Revision
from aegis_dagster.domain.stages import (
    ARTIFACT_STAGES,
    UPSTREAM_FAILED,
    Document,
    Failure,
    Stage,
    StageState,
    Status,
    from_stage_on,
)
from aegis_dagster.errors import FailureCode

PARSE, ENRICH, CHUNK, EMBED, GRAPH = Stage
DOCUMENT = Document(DocumentId("c/a.txt"), CollectionName("c"), Revision("r"), 1, ".txt")
WANTED = {stage: f"wanted-{stage}" for stage in Stage}
FAILED = Failure(FailureCode.TIMEOUT, "too slow", "wait", retryable=True)
BAD = Failure(FailureCode.EMPTY_FILE, "empty", "fill it", retryable=False)


def states(**changed: StageState | None) -> dict[Stage, StageState]:
    """Everything done, but for what is given by the stage's name; None: it was never reached."""
    done = {stage: StageState(Status.DONE, WANTED[stage]) for stage in Stage}
    given = {Stage(name): state for name, state in changed.items()}
    return {stage: state for stage, state in (done | given).items() if state is not None}


def at(
    stage: Stage, status: Status, failure: Failure | None = None, facts: dict[str, object] | None = None
) -> StageState:
    return StageState(status, WANTED[stage], attempts=1, failure=failure, facts=facts or {})


def old(*stages: Stage) -> dict[str, StageState]:
    return {stage.value: StageState(Status.DONE, "before") for stage in stages}


cleared = {
    stage.value: at(stage, Status.SKIPPED, facts={UPSTREAM_FAILED: True}) for stage in (ENRICH, CHUNK, EMBED, GRAPH)
}
CASES: list[tuple[str, dict[Stage, StageState], dict[str, Any], dict[Stage, Why]]] = [
    ("all is done", states(), {}, {}),
    ("nobody has seen it", {}, {"there": ()}, dict.fromkeys(Stage, Why.NEW)),
    ("its bytes are known", {}, {}, {**dict.fromkeys(ARTIFACT_STAGES, Why.KNOWN), EMBED: Why.NEW, GRAPH: Why.NEW}),
    ("edited", states(**old(*Stage)), {"there": (), "bytes_changed": True}, dict.fromkeys(Stage, Why.BYTES)),
    (
        "another chunk size",
        states(**old(CHUNK, EMBED, GRAPH)),
        {"there": (PARSE, ENRICH)},
        dict.fromkeys((CHUNK, EMBED, GRAPH), Why.SETTINGS),
    ),
    ("another embedding model", states(**old(EMBED)), {}, {EMBED: Why.SETTINGS}),
    ("its chunks are lost", states(), {"there": (PARSE, ENRICH)}, {CHUNK: Why.LOST}),
    ("no pictures, so no artifact", states(enrich=at(ENRICH, Status.SKIPPED)), {"there": (PARSE, CHUNK)}, {}),
    (
        "put off for money",
        states(enrich=at(ENRICH, Status.DEFERRED)),
        {},
        {ENRICH: Why.PUT_OFF, CHUNK: Why.FOLLOWS, EMBED: Why.FOLLOWS, GRAPH: Why.FOLLOWS},
    ),
    ("the graph was put off", states(graph=at(GRAPH, Status.DEFERRED)), {}, {GRAPH: Why.PUT_OFF}),
    (
        "timed out",
        {PARSE: at(PARSE, Status.FAILED, FAILED)},
        {"there": ()},
        {PARSE: Why.RETRY, **dict.fromkeys((ENRICH, CHUNK, EMBED, GRAPH), Why.FOLLOWS)},
    ),
    ("failed for good", states(parse=at(PARSE, Status.FAILED, BAD), **cleared), {"there": ()}, {}),
    (
        "failed for good just now",
        states(parse=at(PARSE, Status.FAILED, BAD), **old(ENRICH), chunk=None, embed=None, graph=None),
        {"there": ()},
        {ENRICH: Why.CLEARED},
    ),
    (
        "failed for good, and enrichment never began",
        states(parse=at(PARSE, Status.FAILED, BAD), **old(CHUNK, EMBED), enrich=None, graph=None),
        {"there": ()},
        {CHUNK: Why.CLEARED, EMBED: Why.CLEARED},
    ),
    (
        "failed for good, and all is forced",
        states(parse=at(PARSE, Status.FAILED, BAD), **cleared),
        {"there": (), "forced": from_stage_on(PARSE)},
        dict.fromkeys(Stage, Why.FORCED),
    ),
    (
        "failed for good, and force begins below",
        states(parse=at(PARSE, Status.FAILED, BAD), **cleared),
        {"there": (), "forced": from_stage_on(CHUNK)},
        {},
    ),
    (
        "forced from chunk on",
        states(),
        {"forced": from_stage_on(CHUNK)},
        dict.fromkeys((CHUNK, EMBED, GRAPH), Why.FORCED),
    ),
    ("embedding alone", states(), {"forced": from_stage_on(EMBED)}, {EMBED: Why.FORCED}),
    (
        "a run was killed",
        states(embed=at(EMBED, Status.RUNNING), graph=None),
        {},
        {EMBED: Why.UNFINISHED, GRAPH: Why.UNFINISHED},
    ),
    (
        "new, without pictures and graph",
        {},
        {"there": (), "off": (ENRICH, GRAPH)},
        {PARSE: Why.NEW, CHUNK: Why.NEW, EMBED: Why.NEW},
    ),
]


@pytest.mark.parametrize(("name", "found", "options", "expected"), CASES, ids=[case[0] for case in CASES])
def test_reasons(
    name: str, found: Mapping[Stage, StageState], options: dict[str, Any], expected: dict[Stage, Why]
) -> None:
    values: dict[str, Any] = {"there": ARTIFACT_STAGES, "bytes_changed": False, **options}
    there = [WANTED[stage] for stage in values.pop("there")]
    state = DocumentState(DOCUMENT, found, WANTED, edited=values.pop("bytes_changed"))
    assert state.planned(lambda _, fingerprint: fingerprint in there, **values) == expected, name


@pytest.mark.parametrize(
    ("stage", "found"),
    [(PARSE, set(Stage)), (ENRICH, {ENRICH, CHUNK, EMBED, GRAPH}), (CHUNK, {CHUNK, EMBED, GRAPH}), (EMBED, {EMBED})],
)
def test_from_a_stage_on(stage: Stage, found: set[Stage]) -> None:
    assert from_stage_on(stage) == found
