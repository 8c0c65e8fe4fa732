"""The evidence store: the evidence of every chunk, and the graph aggregated from it.

One call is one transaction: evidence and aggregates change together or not at all. The state depends only
on the documents' present evidence, never on the order in which documents were added, changed or removed.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from aegis_dagster.domain.aggregation import CanonicalEvidence, canonical_evidence, chunk_mark
from aegis_dagster.domain.evidence import DocumentEvidence
from aegis_dagster.domain.identifiers import ChunkId, DocumentId
from aegis_dagster.stores.database import read, upsert, write, write_rows
from aegis_dagster.stores.evidence.aggregates import KINDS, Rows, refresh, refresh_outdated, slices
from aegis_dagster.stores.evidence.audit import evidence_digest, evidence_mismatches
from aegis_dagster.stores.evidence.schema import (
    entity_mentions,
    evidence_chunks,
    evidence_documents,
    relation_evidence,
)

# Postgres advisory lock; any number that no other part of the project uses.
_ADVISORY_LOCK = 0x6AE6_15E7


class EvidenceStore:
    """Evidence of all documents in the SQL database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._outdated = True  # whether there may be aggregates of an older version

    def replace_documents(self, batch: Sequence[DocumentEvidence]) -> None:
        """Replace the evidence of several documents in one transaction; each document occurs once.

        Chunks with unchanged evidence are not written. An entity that many of the documents mention is
        aggregated once, so larger batches cost less per document. Raises ServiceError.
        """
        wanted = {
            chunk: (document.document_id, canonical_evidence(evidence))
            for document in batch
            for chunk, evidence in document.chunks
        }
        hashes = {chunk: evidence.content_hash() for chunk, (_, evidence) in wanted.items()}
        with write(self._engine) as connection:
            _queue_up(connection)
            stored = _stored_chunks(connection, [document.document_id for document in batch])
            written = [chunk for chunk, value in hashes.items() if stored.get(chunk) != value]
            removed = [chunk for chunk in stored if chunk not in wanted]
            outdated = [*removed, *(chunk for chunk in written if chunk in stored)]
            touched = _delete_chunks(connection, outdated)
            inserted = _insert_chunks(connection, {chunk: wanted[chunk] for chunk in written}, hashes)
            for kind, old, new in zip(KINDS, touched, inserted, strict=True):
                refresh(connection, kind, old, new)
            self._refresh_outdated(connection)
            _record_documents(connection, batch)

    def delete_documents(self, document_ids: Sequence[DocumentId]) -> None:
        """Delete the evidence of these documents; that of other documents stays. Idempotent.

        Raises ServiceError.
        """
        with write(self._engine) as connection:
            _queue_up(connection)
            removed = list(_stored_chunks(connection, document_ids))
            for kind, keys in zip(KINDS, _delete_chunks(connection, removed), strict=True):
                refresh(connection, kind, keys)
            for part in slices(document_ids):
                connection.execute(sa.delete(evidence_documents).where(evidence_documents.c.document_id.in_(part)))

    def _refresh_outdated(self, connection: Connection) -> None:
        if self._outdated:
            self._outdated = refresh_outdated(connection)

    def chunk_counts_by_document(self) -> dict[DocumentId, int]:
        """Number of chunks per document, including chunks without evidence. A document written without chunks has 0."""
        documents, chunks = evidence_documents, evidence_chunks
        query = (
            sa.select(documents.c.document_id, sa.func.count(chunks.c.chunk_id).label("chunks"))
            .outerjoin(chunks, chunks.c.document_id == documents.c.document_id)
            .group_by(documents.c.document_id)
        )
        with read(self._engine) as connection:
            return {DocumentId(row.document_id): row.chunks for row in connection.execute(query)}

    def verify(self, *, deep: bool = True) -> list[str]:
        """Inconsistencies between aggregates, records and chunks, one sentence each. Empty: none.

        deep: check every text too (the 692 PEPs: 17 s); otherwise only the chunks that each entity and relation
        is based on, which the database compares by itself (0.8 s). Raises ServiceError.
        """
        with read(self._engine) as connection:
            return evidence_mismatches(connection, deep=deep)

    def digest(self) -> str:
        """sha256 hex digest of evidence and aggregates. Equal knowledge has equal digests, whatever its history."""
        with read(self._engine) as connection:
            return evidence_digest(connection)


def _queue_up(connection: Connection) -> None:
    """Admit one writer at a time; two could aggregate the same entity without seeing each other's evidence.

    On SQLite, BEGIN IMMEDIATE already queues write transactions.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def _stored_chunks(connection: Connection, document_ids: Sequence[DocumentId]) -> dict[ChunkId, str]:
    """Chunk id to the hash of its stored evidence."""
    table = evidence_chunks
    found: dict[ChunkId, str] = {}
    for part in slices(document_ids):
        query = sa.select(table.c.chunk_id, table.c.hash).where(table.c.document_id.in_(part))
        found.update({ChunkId(row.chunk_id): row.hash for row in connection.execute(query)})
    return found


def _delete_chunks(connection: Connection, chunk_ids: Sequence[ChunkId]) -> tuple[set[str], set[str]]:
    """Delete chunks and their records; returns the keys of entities and relations that lost evidence."""
    touched: tuple[set[str], set[str]] = (set(), set())
    for part in slices(chunk_ids):
        for kind, keys in zip(KINDS, touched, strict=True):
            named = kind.evidence.c.chunk_id.in_(part)
            keys.update(connection.scalars(sa.select(kind.evidence.c.key).where(named)))
            connection.execute(sa.delete(kind.evidence).where(named))
        connection.execute(sa.delete(evidence_chunks).where(evidence_chunks.c.chunk_id.in_(part)))
    return touched


def _insert_chunks(
    connection: Connection,
    chunks: Mapping[ChunkId, tuple[DocumentId, CanonicalEvidence]],
    hashes: Mapping[ChunkId, str],
) -> tuple[Rows, Rows]:
    """Insert chunks and their records; returns the rows of mentions and of relations."""
    rows: Rows = []
    mentions: Rows = []
    related: Rows = []
    for chunk, (document, evidence) in chunks.items():
        rows.append({"chunk_id": chunk, "document_id": document, "hash": hashes[chunk]})
        place = {"chunk_id": chunk, "document_id": document, "chunk_mark": chunk_mark(chunk)}
        mentions += [
            {"key": record.key, "name": record.name, "type": record.type, "description": record.description, **place}
            for record in evidence.mentions
        ]
        related += [
            {
                "key": record.key,
                "keywords": record.keywords,
                "description": record.description,
                "weight_milli": record.weight_milli,
                **place,
            }
            for record in evidence.relations
        ]
    for table, values in ((evidence_chunks, rows), (entity_mentions, mentions), (relation_evidence, related)):
        if values:
            write_rows(connection, sa.insert(table), sorted(values, key=itemgetter(*table.primary_key.columns.keys())))
    return mentions, related


def _record_documents(connection: Connection, batch: Sequence[DocumentEvidence]) -> None:
    if not batch:
        return
    insert = upsert(connection, evidence_documents)
    statement = insert.on_conflict_do_update(
        index_elements=[evidence_documents.c.document_id], set_={"fingerprint": insert.excluded.fingerprint}
    )
    rows = [{"document_id": document.document_id, "fingerprint": document.fingerprint} for document in batch]
    connection.execute(statement, rows)
