"""The first schema: catalog, caches, evidence and the graph."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Ordered by code point on every database.
KEY_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
PENDING = sa.text("published_hash != hash")


def upgrade() -> None:
    """Make all tables."""
    _catalog()
    _caches()
    _evidence()
    _graph()


def _catalog() -> None:
    """Documents and where they stand."""
    op.create_table(
        "documents",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("stamp", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("suffix", sa.Text(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("first_seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
    )
    op.create_index(op.f("ix_documents_collection"), "documents", ["collection"])
    op.create_table(
        "stage_states",
        sa.Column("document_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_remedy", sa.Text(), nullable=True),
        sa.Column("retryable", sa.Boolean(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=True),
        sa.Column("finished_ms", sa.BigInteger(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_expires_ms", sa.BigInteger(), nullable=True),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("document_id", "stage", name=op.f("pk_stage_states")),
    )
    op.create_index(op.f("ix_stage_states_fingerprint"), "stage_states", ["fingerprint"])
    op.create_index("ix_stage_states_stage_status", "stage_states", ["stage", "status"])
    op.create_table(
        "artifact_garbage",
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("stage", "fingerprint", name=op.f("pk_artifact_garbage")),
    )
    op.create_table(
        "passed_over_files",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_passed_over_files")),
    )


def _caches() -> None:
    """What outlives every view."""
    op.create_table(
        "embedding_cache",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("text_hash", sa.Text(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("model", "text_hash", name=op.f("pk_embedding_cache")),
    )
    op.create_table(
        "picture_descriptions",
        sa.Column("describer", sa.Text(), nullable=False),
        sa.Column("picture_hash", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("described_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("describer", "picture_hash", name=op.f("pk_picture_descriptions")),
    )
    op.create_table(
        "extraction_cache",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_extraction_cache")),
    )


def _evidence() -> None:
    """What chunks say."""
    op.create_table(
        "evidence_documents",
        sa.Column("document_id", KEY_TEXT, nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_evidence_documents")),
    )
    op.create_table(
        "evidence_chunks",
        sa.Column("chunk_id", KEY_TEXT, nullable=False),
        sa.Column("document_id", KEY_TEXT, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chunk_id", name=op.f("pk_evidence_chunks")),
    )
    op.create_index(op.f("ix_evidence_chunks_document_id"), "evidence_chunks", ["document_id"])
    op.create_table(
        "entity_mentions",
        sa.Column("key", KEY_TEXT, nullable=False),
        sa.Column("chunk_id", KEY_TEXT, nullable=False),
        sa.Column("document_id", KEY_TEXT, nullable=False),
        sa.Column("chunk_mark", sa.BigInteger(), nullable=False),
        sa.Column("name", KEY_TEXT, nullable=False),
        sa.Column("type", KEY_TEXT, nullable=False),
        sa.Column("description", KEY_TEXT, nullable=False),
        sa.PrimaryKeyConstraint("key", "chunk_id", name=op.f("pk_entity_mentions")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_entity_mentions_chunk_id"), "entity_mentions", ["chunk_id"])
    op.create_table(
        "relation_evidence",
        sa.Column("key", KEY_TEXT, nullable=False),
        sa.Column("chunk_id", KEY_TEXT, nullable=False),
        sa.Column("document_id", KEY_TEXT, nullable=False),
        sa.Column("chunk_mark", sa.BigInteger(), nullable=False),
        sa.Column("keywords", KEY_TEXT, nullable=False),
        sa.Column("description", KEY_TEXT, nullable=False),
        sa.Column("weight_milli", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", "chunk_id", name=op.f("pk_relation_evidence")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_relation_evidence_chunk_id"), "relation_evidence", ["chunk_id"])


def _graph() -> None:
    """What the evidence adds up to."""
    op.create_table(
        "entities",
        sa.Column("key", KEY_TEXT, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("chunk_count", sa.Integer(), nullable=False),
        sa.Column("document_count", sa.Integer(), nullable=False),
        sa.Column("sources", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("published_hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_entities")),
    )
    op.create_index(op.f("ix_entities_chunk_count"), "entities", ["chunk_count"])
    op.create_index("ix_entities_outbox", "entities", ["key"], sqlite_where=PENDING, postgresql_where=PENDING)
    op.create_table(
        "relations",
        sa.Column("key", KEY_TEXT, nullable=False),
        sa.Column("source_key", KEY_TEXT, nullable=False),
        sa.Column("target_key", KEY_TEXT, nullable=False),
        sa.Column("keywords", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("weight_milli", sa.BigInteger(), nullable=False),
        sa.Column("chunk_count", sa.Integer(), nullable=False),
        sa.Column("document_count", sa.Integer(), nullable=False),
        sa.Column("sources", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("published_hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_relations")),
    )
    op.create_index("ix_relations_outbox", "relations", ["key"], sqlite_where=PENDING, postgresql_where=PENDING)
    op.create_index(op.f("ix_relations_source_key"), "relations", ["source_key"])
    op.create_index(op.f("ix_relations_target_key"), "relations", ["target_key"])
