"""Descriptions give each document a fair share: long ones are aggregated again with the next write of the graph."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Mark every description that may have been cut: a text has at most 1,000 characters, a description 2,000."""
    for table in ("entities", "relations"):
        op.execute(sa.text(f"UPDATE {table} SET hash = 'outdated' WHERE hash <> '' AND length(description) >= 1000"))
