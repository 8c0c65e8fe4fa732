"""Paging: how checks and runs stand, who is told, and what is not delivered yet."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# Ordered by code point on every database.
KEY_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "alerts",
        sa.Column("key", KEY_TEXT, nullable=False),
        sa.Column("severity", sa.Text()),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("paged", sa.Text()),
        sa.PrimaryKeyConstraint("key", name="pk_alerts"),
    )
    op.create_index("ix_alerts_paged", "alerts", ["paged"])
    op.create_table(
        "alert_channels",
        sa.Column("name", KEY_TEXT, nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("missed_us", sa.BigInteger()),
        sa.PrimaryKeyConstraint("name", name="pk_alert_channels"),
    )
    op.create_table(
        "alert_messages",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("channel", KEY_TEXT, nullable=False),
        sa.Column("key", KEY_TEXT, nullable=False),
        sa.Column("firing", sa.Boolean(), nullable=False),
        sa.Column("page", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("delivered_us", sa.BigInteger()),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("not_before_us", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_alert_messages"),
    )
    op.create_index(
        "ix_alert_messages_channel_delivered_us_key_id",
        "alert_messages",
        ["channel", "delivered_us", "key", "id"],
    )
