"""Tables of the catalog and of the caches that outlive every view.

Times are integers: milliseconds since 1970-01-01 UTC.
"""

import sqlalchemy as sa

from aegis_dagster.stores.database import metadata
from aegis_dagster.stores.evidence.schema import KeyText

documents = sa.Table(
    "documents",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("collection", sa.Text, nullable=False, index=True),
    sa.Column("revision", sa.Text, nullable=False),
    sa.Column("stamp", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("suffix", sa.Text, nullable=False),
    sa.Column("deleted", sa.Boolean, nullable=False, default=False),
    sa.Column("first_seen_ms", sa.BigInteger, nullable=False),
    sa.Column("changed_ms", sa.BigInteger, nullable=False, server_default="0"),  # when its revision was recorded
    sa.Column("mail", sa.Text, nullable=False, server_default=""),  # the outermost mail that it is attached to
    sa.Column("context", sa.Text, nullable=False, server_default=""),  # subjects of its mails, one a line
)

stage_states = sa.Table(
    "stage_states",
    metadata,
    sa.Column("document_id", sa.Text, sa.ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("stage", sa.Text, primary_key=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False, index=True),
    sa.Column("error_code", sa.Text),
    sa.Column("error_message", sa.Text),
    sa.Column("error_remedy", sa.Text),
    sa.Column("retryable", sa.Boolean),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("started_ms", sa.BigInteger),
    sa.Column("finished_ms", sa.BigInteger),
    sa.Column("seconds", sa.Float),
    sa.Column("lease_owner", sa.Text),
    sa.Column("lease_expires_ms", sa.BigInteger),
    sa.Column("facts", sa.Text, nullable=False, default="{}"),
    sa.Index("ix_stage_states_stage_status", "stage", "status"),
)

# How documents ended at each stage since the home was created. Sums only grow, so that metrics can be counters.
stage_totals = sa.Table(
    "stage_totals",
    metadata,
    sa.Column("stage", KeyText, primary_key=True),
    sa.Column("status", KeyText, primary_key=True),
    sa.Column("reason", KeyText, primary_key=True),  # error code of a failure, reason of a deferral, else ""
    sa.Column("documents", sa.BigInteger, nullable=False),
    sa.Column("milliseconds", sa.BigInteger, nullable=False),
)

# What runs in progress say about their seats in a cluster of machines; the row of a killed one grows old.
seat_reports = sa.Table(
    "seat_reports",
    metadata,
    sa.Column("owner", KeyText, primary_key=True),
    *(sa.Column(name, sa.Integer, nullable=False) for name in ("nodes", "lost_nodes", "ready", "waiting", "queue")),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
)

# Workers that were lost since the home was created. Sums only grow, so that metrics can be counters.
lost_workers = sa.Table(
    "lost_workers",
    metadata,
    sa.Column("reason", KeyText, primary_key=True),  # of `domain.seats.Lost`
    sa.Column("workers", sa.BigInteger, nullable=False),
)

# Artifacts that a document stopped using. Swept after the transaction that wrote the row, or by the next run.
artifact_garbage = sa.Table(
    "artifact_garbage",
    metadata,
    sa.Column("stage", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, primary_key=True),
)

passed_over_files = sa.Table(
    "passed_over_files",
    metadata,
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("remedy", sa.Text, nullable=False),
)

# The versions that a server of docling-serve last told: what it parsed depends on them, also while it is down.
parse_servers = sa.Table(
    "parse_servers",
    metadata,
    sa.Column("url", KeyText, primary_key=True),
    sa.Column("versions", sa.Text, nullable=False),
)

embedding_cache = sa.Table(
    "embedding_cache",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("text_hash", sa.Text, primary_key=True),
    sa.Column("vector", sa.LargeBinary, nullable=False),  # float32, little-endian
)

picture_descriptions = sa.Table(
    "picture_descriptions",
    metadata,
    sa.Column("describer", sa.Text, primary_key=True),
    sa.Column("picture_hash", sa.Text, primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("described_by", sa.Text, nullable=False),
)
