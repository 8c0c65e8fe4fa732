"""The versions that servers of docling-serve told."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

# Ordered by code point on every database.
KEY_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "parse_servers",
        sa.Column("url", KEY_TEXT, nullable=False),
        sa.Column("versions", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("url", name="pk_parse_servers"),
    )
