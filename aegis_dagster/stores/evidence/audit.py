"""Checks of the evidence: its consistency, and one hash over all of it."""

import hashlib
import json
from collections.abc import Iterator
from itertools import islice

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from aegis_dagster.domain.aggregation import CanonicalEvidence, MentionRecord, RelationRecord, split_relation_key
from aegis_dagster.stores.evidence.aggregates import KINDS, SLICE, AggregateKind, aggregate_row
from aegis_dagster.stores.evidence.schema import GONE, OUTDATED, entity_mentions, evidence_chunks, relation_evidence

MAX_MISMATCHES = 100  # more would not help
_DIGESTED_TOGETHER = 2_000  # rows; changing it changes every digest


def evidence_digest(connection: Connection) -> str:
    """sha256 hex digest over mentions, relation evidence and aggregates in the order of their keys.

    It leaves out what was published to views, and tombstones.
    """
    digest = hashlib.sha256()
    for kind in KINDS:
        evidence, aggregates = kind.evidence, kind.aggregates
        columns = [column for column in aggregates.columns if column.name not in ("hash", "published_hash")]
        for query in (
            sa.select(evidence).order_by(evidence.c.key, evidence.c.chunk_id),
            sa.select(*columns).where(aggregates.c.hash != GONE).order_by(aggregates.c.key),
        ):
            digest.update(b"table\n")
            for rows in connection.execute(query).partitions(_DIGESTED_TOGETHER):
                digest.update(json.dumps([list(row) for row in rows], separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()


def evidence_mismatches(connection: Connection, *, deep: bool) -> list[str]:
    """Inconsistencies, one sentence each, at most `MAX_MISMATCHES`.

    deep: aggregate every entity and relation again and hash every chunk again. Otherwise the database compares only
    which chunks each aggregate is based on, not their text.
    """
    return list(islice(_mismatches(connection, deep=deep), MAX_MISMATCHES))


def _mismatches(connection: Connection, *, deep: bool) -> Iterator[str]:
    for kind in KINDS:
        yield from _source_mismatches(connection, kind)
    if not deep:
        return
    for kind in KINDS:
        yield from _aggregate_mismatches(connection, kind)
    yield from _chunk_mismatches(connection)
    yield from _orphans(connection)


def _source_mismatches(connection: Connection, kind: AggregateKind) -> Iterator[str]:
    """Aggregates based on other chunks than their evidence, and evidence without an aggregate."""
    table, evidence = kind.aggregates, kind.evidence
    marks = sa.func.sum(evidence.c.chunk_mark).label("marks")
    query = sa.select(evidence.c.key, sa.func.count().label("chunks"), marks)
    said = query.group_by(evidence.c.key).order_by(evidence.c.key).subquery()
    joined = sa.outerjoin(table, said, said.c.key == table.c.key)
    agrees = sa.and_(said.c.chunks == table.c.chunk_count, said.c.marks == table.c.sources)
    different = sa.select(table.c.key).select_from(joined).where(table.c.hash != GONE, sa.func.coalesce(~agrees, True))
    for key in connection.scalars(different.limit(MAX_MISMATCHES)):
        yield f"{table.name} {key!r} does not stand on the chunks that name it."
    known = sa.exists().where(table.c.key == evidence.c.key, table.c.hash != GONE)
    for key in connection.scalars(sa.select(evidence.c.key).distinct().where(~known).limit(MAX_MISMATCHES)):
        yield f"{table.name} lacks {key!r}, for which there is evidence."


def _aggregate_mismatches(connection: Connection, kind: AggregateKind) -> Iterator[str]:
    """Compute every entity or relation that has evidence again, in slices, and compare."""
    table = kind.aggregates
    last = ""
    while True:
        kept = sa.select(table.c.key).where(table.c.key > last, table.c.hash.not_in([GONE, OUTDATED]))
        keys = connection.scalars(kept.order_by(table.c.key).limit(SLICE)).all()
        if not keys:
            return
        last = keys[-1]
        query = sa.select(table).where(table.c.key.in_(keys), table.c.hash != GONE)
        stored = {row.key: row._asdict() for row in connection.execute(query)}
        wanted = {key: aggregate_row(value) for key, value in kind.compute(connection, keys).items()}
        for key in wanted:
            if different := [name for name, value in wanted[key].items() if stored[key][name] != value]:
                yield f"{table.name} {key!r}: {', '.join(different)} not as the evidence says."


def _chunk_mismatches(connection: Connection) -> Iterator[str]:
    """Hash every chunk's records again and compare with the stored hash."""
    last = ""
    while True:
        query = sa.select(evidence_chunks).where(evidence_chunks.c.chunk_id > last)
        chunks = connection.execute(query.order_by(evidence_chunks.c.chunk_id).limit(SLICE)).all()
        if not chunks:
            return
        last = chunks[-1].chunk_id
        stored = _stored_records(connection, [chunk.chunk_id for chunk in chunks])
        for chunk in chunks:
            if stored[chunk.chunk_id].content_hash() != chunk.hash:
                yield f"Chunk {chunk.chunk_id} of {chunk.document_id!r} does not hold the records it was written with."


def _stored_records(connection: Connection, chunk_ids: list[str]) -> dict[str, CanonicalEvidence]:
    mentions: dict[str, list[MentionRecord]] = {chunk: [] for chunk in chunk_ids}
    related: dict[str, list[RelationRecord]] = {chunk: [] for chunk in chunk_ids}
    query = sa.select(entity_mentions).where(entity_mentions.c.chunk_id.in_(chunk_ids))
    for row in connection.execute(query):
        mentions[row.chunk_id].append(MentionRecord(row.key, row.name, row.type, row.description))
    query = sa.select(relation_evidence).where(relation_evidence.c.chunk_id.in_(chunk_ids))
    for row in connection.execute(query):
        pair = split_relation_key(row.key)
        related[row.chunk_id].append(RelationRecord(*pair, row.keywords, row.description, row.weight_milli))
    return {
        chunk: CanonicalEvidence(
            tuple(sorted(mentions[chunk], key=lambda record: record.key)),
            tuple(sorted(related[chunk], key=lambda record: (record.source_key, record.target_key))),
        )
        for chunk in chunk_ids
    }


def _orphans(connection: Connection) -> Iterator[str]:
    """Rows whose chunk or document no longer exists."""
    for kind in KINDS:
        table = kind.evidence
        known = sa.exists().where(
            evidence_chunks.c.chunk_id == table.c.chunk_id, evidence_chunks.c.document_id == table.c.document_id
        )
        for row in connection.execute(sa.select(table.c.key, table.c.chunk_id).where(~known).limit(MAX_MISMATCHES)):
            yield f"{table.name} {row.key!r} names the unknown chunk {row.chunk_id}."
