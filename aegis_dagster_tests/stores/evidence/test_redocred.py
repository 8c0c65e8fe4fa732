"""Evidence of real documents with gold triples: any history gives the graph of a build from scratch."""

import random
import time
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
from aegis_dagster_tests.support.machine import allowed, required
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


def test_all_documents_give_the_graph_a_plain_loop_gives(engine: Engine, gold: list[DocumentEvidence]) -> None:
    store = build(engine, gold)

    assert stored_graph(engine) == expected_graph(gold)
    assert store.verify() == []
    chunks = store.chunk_counts_by_document()
    assert (len(chunks), sum(chunks.values())) == (500, 1000)


@pytest.mark.parametrize("seed", [1, 2, 3])
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


@pytest.mark.alone
def test_five_thousand_records_a_second_are_written_and_a_document_goes_in_50_ms(
    engine: Engine, gold: list[DocumentEvidence]
) -> None:
    """The rate counts CPU time of this process, so that other work on the machine does not decide."""
    started = time.process_time()
    store = build(engine, gold)
    rate = records(gold) / (time.process_time() - started)
    seconds = []
    for one in gold[::20]:
        started = time.perf_counter()
        store.delete_documents([one.document_id])
        seconds.append(time.perf_counter() - started)
    typical = sorted(seconds)[len(seconds) // 2]
    print(f"{rate:.0f} records a CPU-second, {typical * 1000:.1f} ms a deletion (median of {len(seconds)})")

    assert rate >= required(5_000)
    assert typical < allowed(0.05)
