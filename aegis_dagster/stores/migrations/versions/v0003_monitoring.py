"""What metrics read: counters of stages that never go down, and since when a document waits."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# Ordered by code point on every database.
KEY_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make `stage_totals`, and `documents.changed_ms`, for old rows the time they were first seen."""
    op.create_table(
        "stage_totals",
        *(sa.Column(name, KEY_TEXT, nullable=False) for name in ("stage", "status", "reason")),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.Column("milliseconds", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stage", "status", "reason", name="pk_stage_totals"),
    )
    op.add_column("documents", sa.Column("changed_ms", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE documents SET changed_ms = first_seen_ms")
