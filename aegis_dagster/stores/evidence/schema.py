"""Tables of the evidence, of the graph aggregated from it, and of the extraction cache.

Evidence rows are the source of truth; `entities` and `relations` can be computed from them at any time.
Keys are ordered by code point on every database, so that the order never depends on a locale.
"""

import sqlalchemy as sa

from aegis_dagster.stores.database import metadata

# SQLite compares text by bytes already.
KeyText = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

# Value of `published_hash` while a publisher holds the row: the state of its view is unknown then.
IN_FLIGHT = "in flight"
# Value of `hash` of an entity or relation without evidence that a view may still hold.
GONE = ""
# Value of `hash` of an entity or relation that an older version aggregated by other rules.
OUTDATED = "outdated"
# Value of `published_hash` of a row that no publisher has taken yet.
UNPUBLISHED = ""

evidence_documents = sa.Table(
    "evidence_documents",
    metadata,
    sa.Column("document_id", KeyText, primary_key=True),
    sa.Column("fingerprint", sa.Text, nullable=False),
)

evidence_chunks = sa.Table(
    "evidence_chunks",
    metadata,
    sa.Column("chunk_id", KeyText, primary_key=True),
    sa.Column("document_id", KeyText, nullable=False, index=True),
    sa.Column("hash", sa.Text, nullable=False),  # CanonicalEvidence.content_hash
)

# The key comes first, so that all rows of one entity are stored together.
entity_mentions = sa.Table(
    "entity_mentions",
    metadata,
    sa.Column("key", KeyText, primary_key=True),
    sa.Column("chunk_id", KeyText, primary_key=True, index=True),
    sa.Column("document_id", KeyText, nullable=False),
    sa.Column("chunk_mark", sa.BigInteger, nullable=False),
    sa.Column("name", KeyText, nullable=False),
    sa.Column("type", KeyText, nullable=False),
    sa.Column("description", KeyText, nullable=False),
    sqlite_with_rowid=False,
)

relation_evidence = sa.Table(
    "relation_evidence",
    metadata,
    sa.Column("key", KeyText, primary_key=True),  # relation_key(source, target)
    sa.Column("chunk_id", KeyText, primary_key=True, index=True),
    sa.Column("document_id", KeyText, nullable=False),
    sa.Column("chunk_mark", sa.BigInteger, nullable=False),
    sa.Column("keywords", KeyText, nullable=False),
    sa.Column("description", KeyText, nullable=False),
    sa.Column("weight_milli", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

entities = sa.Table(
    "entities",
    metadata,
    sa.Column("key", KeyText, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("chunk_count", sa.Integer, nullable=False, index=True),
    sa.Column("document_count", sa.Integer, nullable=False),
    sa.Column("sources", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("published_hash", sa.Text, nullable=False, default=UNPUBLISHED),
)

relations = sa.Table(
    "relations",
    metadata,
    sa.Column("key", KeyText, primary_key=True),
    sa.Column("source_key", KeyText, nullable=False, index=True),
    sa.Column("target_key", KeyText, nullable=False, index=True),
    sa.Column("keywords", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("weight_milli", sa.BigInteger, nullable=False),
    sa.Column("chunk_count", sa.Integer, nullable=False),
    sa.Column("document_count", sa.Integer, nullable=False),
    sa.Column("sources", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("published_hash", sa.Text, nullable=False, default=UNPUBLISHED),
)

# The outbox: these indexes contain only rows whose present state a view does not hold, as their migration says; said
# here, it would load the dialect of another database.
for _table in (entities, relations):
    sa.Index(f"ix_{_table.name}_outbox", _table.c.key)

extraction_cache = sa.Table(
    "extraction_cache",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),  # sha256 of (extractor name, text hash)
    sa.Column("evidence", sa.Text, nullable=False),  # JSON
)
