"""Evidence of real documents with gold triples: any history gives the graph of a build from scratch."""

import random
import statistics
from collections.abc import Callable, Sequence

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine

from aegis_dagster.domain.evidence import DocumentEvidence
from aegis_dagster.stores.evidence.schema import (
    entity_mentions,
    evidence_chunks,
    evidence_documents,
    relation_evidence,
)
from aegis_dagster.stores.evidence.store import EvidenceStore
from aegis_dagster_tests.support.counting import database_work
from aegis_dagster_tests.support.naive_evidence import expected_graph, stored_graph

NewEngine = Callable[[str], Engine]

DOCUMENTS = 120  # in histories; enough for entities that many documents share
BATCH = 50


def build(engine: Engine, documents: Sequence[DocumentEvidence]) -> EvidenceStore:
    store = EvidenceStore(engine)
    for start in range(0, len(documents), BATCH):
        store.replace_documents(documents[start : start + BATCH])
    return store


def _rows(engine: Engine, table: sa.Table) -> list[tuple[str, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.select(table))]


def records(documents: Sequence[DocumentEvidence]) -> int:
    return sum(len(chunk.mentions) + len(chunk.relations) for one in documents for _, chunk in one.chunks)


@pytest.mark.parametrize("new_engine", ["sqlite"], indirect=True)  # a minute on both
def test_all_documents_give_the_graph_a_plain_loop_gives(engine: Engine, gold: list[DocumentEvidence]) -> None:
    store = build(engine, gold)

    assert stored_graph(engine) == expected_graph(gold)
    assert store.verify() == []
    chunks = store.chunk_counts_by_document()
    assert (len(chunks), sum(chunks.values())) == (500, 1000)


@pytest.mark.parametrize("seed", [1, 2])
def test_inserts_edits_and_deletions_in_any_order_leave_the_graph_of_a_build_from_scratch(
    new_engine: NewEngine, gold: list[DocumentEvidence], edited: list[DocumentEvidence], seed: int
) -> None:
    chance = random.Random(seed)
    incremental = EvidenceStore(new_engine("incremental"))
    now: dict[str, DocumentEvidence] = {}
    for _ in range(25):
        numbers = chance.sample(range(DOCUMENTS), chance.randint(1, 30))
        if chance.random() < 0.35:
            incremental.delete_documents([gold[number].document_id for number in numbers])
            for number in numbers:
                now.pop(gold[number].document_id, None)
        else:
            batch = [chance.choice((gold, edited))[number] for number in numbers]
            incremental.replace_documents(batch)
            now.update({one.document_id: one for one in batch})
    left = [now[document_id] for document_id in sorted(now)]
    scratch = build(new_engine("scratch"), left)

    assert 20 < len(left) < DOCUMENTS
    assert incremental.digest() == scratch.digest()
    assert stored_graph(new_engine("incremental")) == stored_graph(new_engine("scratch")) == expected_graph(left)
    assert incremental.chunk_counts_by_document() == scratch.chunk_counts_by_document()
    recorded = {(one.document_id, one.fingerprint) for one in left}
    assert set(_rows(new_engine("incremental"), evidence_documents)) == recorded
    assert incremental.verify() == []


def test_when_all_documents_are_deleted_nothing_is_left(engine: Engine, gold: list[DocumentEvidence]) -> None:
    store = EvidenceStore(engine)
    empty = store.digest()
    store.replace_documents(gold[:20])
    assert store.digest() != empty

    store.delete_documents([one.document_id for one in gold[:20]])

    assert store.digest() == empty
    assert stored_graph(engine) == ({}, {})
    for table in (evidence_documents, evidence_chunks, entity_mentions, relation_evidence):
        assert _rows(engine, table) == []


def test_writing_the_same_again_writes_no_chunk(engine: Engine, gold: list[DocumentEvidence]) -> None:
    store = build(engine, gold[:50])
    before = store.digest()
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _, cursor, statement, *rest: statements.append(statement))

    store.replace_documents(gold[:50])

    about_chunks = {one.split()[0] for one in statements if "evidence_chunks" in one}
    assert about_chunks == {"SELECT"}
    assert store.digest() == before


@pytest.mark.parametrize("new_engine", ["sqlite"], indirect=True)  # it counts SQLite's steps
def test_what_a_change_costs_does_not_grow_with_what_is_stored(
    new_engine: NewEngine, gold: list[DocumentEvidence]
) -> None:
    few, many = EvidenceStore(new_engine("few")), EvidenceStore(new_engine("many"))
    few.replace_documents(gold[BATCH : 2 * BATCH])  # so that some of the entities are known, as they are to the other
    with database_work() as small:
        few.replace_documents(gold[:BATCH])
    for start in range(BATCH, len(gold), BATCH):
        many.replace_documents(gold[start : start + BATCH])
    with database_work() as large:
        many.replace_documents(gold[:BATCH])
    assert len(large.statements) <= len(small.statements) + 2 < 35
    assert large.steps < 2 * small.steps
    assert large.steps < 400 * records(gold[:BATCH])
    deletions = []
    for one in gold[:BATCH]:
        with database_work() as work:
            many.delete_documents([one.document_id])
        assert len(work.statements) <= 20
        deletions.append(work.steps)
    assert statistics.median(deletions) < 15_000  # to read the 25,681 records of the store takes more
