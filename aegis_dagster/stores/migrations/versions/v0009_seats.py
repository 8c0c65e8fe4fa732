"""What runs say about their seats in a cluster of machines, and how many workers were lost."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_NUMBERS = ("nodes", "lost_nodes", "ready", "waiting", "queue")
# Ordered by code point on every database.
KEY_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make `seat_reports` and `lost_workers`."""
    op.create_table(
        "seat_reports",
        sa.Column("owner", KEY_TEXT, nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _NUMBERS),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_seat_reports"),
    )
    op.create_table(
        "lost_workers",
        sa.Column("reason", KEY_TEXT, nullable=False),
        sa.Column("workers", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reason", name="pk_lost_workers"),
    )
