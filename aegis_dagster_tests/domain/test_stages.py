"""What is stale, what may be worked on, and what one word says of a document."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from aegis_dagster.domain.document_state import DocumentState, Readiness
from aegis_dagster.domain.fingerprints import CollectionRules, Identities, digest_of, wanted_fingerprints
from aegis_dagster.domain.identifiers import CollectionName, DocumentId, Revision
from aegis_dagster.domain.stages import (
    MAX_ATTEMPTS,
    UPSTREAM_FAILED,
    Document,
    Failure,
    Stage,
    StageState,
    Status,
)
from aegis_dagster.errors import FailureCode

IDENTITIES = Identities({stage: f"{stage} 1" for stage in Stage}, {})
DOCUMENT = Document(DocumentId("a/b.pdf"), CollectionName("a"), Revision("r1"), 1, ".pdf")
WANTED = wanted_fingerprints(DOCUMENT, IDENTITIES, {})


def known(recorded: Mapping[Stage, StageState], wanted: Mapping[Stage, str] = WANTED) -> DocumentState:
    return DocumentState(DOCUMENT, recorded, wanted)


def done(stage: Stage) -> StageState:
    return StageState(Status.DONE, WANTED[stage])


def failed(stage: Stage, *, retryable: bool, attempts: int = 1) -> StageState:
    failure = Failure(FailureCode.TIMEOUT, "slow", "wait", retryable)
    return StageState(Status.FAILED, WANTED[stage], attempts, failure)


def changed_stages(other: Document, identities: Identities = IDENTITIES) -> set[Stage]:
    wanted = wanted_fingerprints(other, identities, {})
    return {stage for stage in Stage if wanted[stage] != WANTED[stage]}


def test_other_bytes_make_every_stage_stale() -> None:
    assert changed_stages(Document(DOCUMENT.id, DOCUMENT.collection, Revision("r2"), 1, ".pdf")) == set(Stage)


def test_another_path_changes_only_what_carries_the_documents_id() -> None:
    moved = Document(DocumentId("c/b.pdf"), CollectionName("c"), Revision("r1"), 1, ".pdf")
    assert changed_stages(moved) == {Stage.EMBED, Stage.GRAPH}


def test_fingerprints_are_a_chain_of_digests() -> None:
    """Parts are put together ahead for speed; what comes out must stay, or every home is computed anew."""
    rules = {CollectionName("a"): CollectionRules(graph=False, local_only=True), CollectionName("b"): CollectionRules()}
    local_only, off = {Stage.ENRICH: "at home"}, CollectionRules(enrich=False)
    identities = Identities({stage: f"é {stage}" for stage in Stage}, rules, off, local_only)
    for name, enriching, drawing in (("a", "at home", "off"), ("b", "é enrich", "é graph"), ("c", "off", "é graph")):
        document = Document(DocumentId(f"{name}/\udcff ö"), CollectionName(name), Revision("r"), 1, "")
        parse = digest_of("parse", "r", "", "é parse")
        enrich = digest_of("enrich", parse, enriching)
        for status in (Status.DONE, Status.FAILED, Status.DEFERRED):
            chunk = digest_of("chunk", enrich, "é chunk", "" if status is Status.DONE else "undescribed")
            assert wanted_fingerprints(document, identities, {Stage.ENRICH: StageState(status, enrich)}) == {
                Stage.PARSE: parse,
                Stage.ENRICH: enrich,
                Stage.CHUNK: chunk,
                Stage.EMBED: digest_of("embed", chunk, document.id, "é embed"),
                Stage.GRAPH: digest_of("graph", chunk, document.id, drawing),
            }


def test_another_suffix_is_parsed_anew() -> None:
    assert changed_stages(Document(DOCUMENT.id, DOCUMENT.collection, Revision("r1"), 1, ".html")) == set(Stage)


@pytest.mark.parametrize(
    ("stage", "stale"),
    [
        (Stage.PARSE, set(Stage)),
        (Stage.ENRICH, {Stage.ENRICH, Stage.CHUNK, Stage.EMBED, Stage.GRAPH}),
        (Stage.CHUNK, {Stage.CHUNK, Stage.EMBED, Stage.GRAPH}),
        (Stage.EMBED, {Stage.EMBED}),
        (Stage.GRAPH, {Stage.GRAPH}),
    ],
)
def test_a_new_version_of_a_stage_makes_it_and_the_stages_below_it_stale(stage: Stage, stale: set[Stage]) -> None:
    other = Identities({**IDENTITIES.by_stage, stage: "2"}, {})
    assert changed_stages(DOCUMENT, other) == stale


def test_another_program_makes_only_the_documents_that_it_reads_stale() -> None:
    changed = replace(IDENTITIES, by_suffix={DOCUMENT.suffix: "LibreOffice 24.8"})
    other = replace(IDENTITIES, by_suffix={".other": "LibreOffice 24.8"})
    assert changed_stages(DOCUMENT, changed) == set(Stage)
    assert changed_stages(DOCUMENT, other) == set()


def test_a_collection_without_graph_wants_another_graph_fingerprint_only() -> None:
    rules = {CollectionName("a"): CollectionRules(graph=False)}
    assert changed_stages(DOCUMENT, Identities(IDENTITIES.by_stage, rules)) == {Stage.GRAPH}


def test_an_enrichment_that_failed_and_then_succeeds_makes_the_chunks_stale() -> None:
    state = failed(Stage.ENRICH, retryable=True)
    without = wanted_fingerprints(DOCUMENT, IDENTITIES, {Stage.ENRICH: state})
    assert without[Stage.CHUNK] != WANTED[Stage.CHUNK]
    assert known({Stage.ENRICH: state}, without).readiness(Stage.CHUNK) is Readiness.READY


def test_a_stage_waits_for_the_one_above() -> None:
    assert known({}).readiness(Stage.PARSE) is Readiness.READY
    assert known({}).readiness(Stage.ENRICH) is Readiness.BLOCKED
    assert known({Stage.PARSE: StageState(Status.DONE, "old")}).readiness(Stage.ENRICH) is Readiness.BLOCKED
    assert known({Stage.PARSE: done(Stage.PARSE)}).readiness(Stage.ENRICH) is Readiness.READY


def test_a_failure_that_may_pass_leaves_what_is_published_and_one_for_good_clears_it() -> None:
    passing = {Stage.PARSE: failed(Stage.PARSE, retryable=True)}
    for_good = {Stage.PARSE: failed(Stage.PARSE, retryable=False)}
    too_often = {Stage.PARSE: failed(Stage.PARSE, retryable=True, attempts=MAX_ATTEMPTS)}
    assert known(passing).readiness(Stage.ENRICH) is Readiness.BLOCKED
    assert known(for_good).readiness(Stage.ENRICH) is Readiness.CLEAR
    assert known(too_often).readiness(Stage.ENRICH) is Readiness.CLEAR
    skipped = StageState(Status.SKIPPED, WANTED[Stage.CHUNK], facts={UPSTREAM_FAILED: True})
    assert known({Stage.CHUNK: skipped}).readiness(Stage.EMBED) is Readiness.CLEAR


def test_a_document_is_done_when_every_stage_is_done_or_skipped() -> None:
    states = {stage: done(stage) for stage in Stage}
    assert known(states).status is Status.DONE
    states[Stage.ENRICH] = StageState(Status.SKIPPED, WANTED[Stage.ENRICH], facts={"why": "no pictures"})
    assert known(states).status is Status.DONE
    states[Stage.GRAPH] = failed(Stage.GRAPH, retryable=False)
    assert known(states).status is Status.FAILED
    del states[Stage.GRAPH]
    assert known(states).status is Status.PENDING
