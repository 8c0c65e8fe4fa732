"""What a call wrote to its provider's cache, and why it failed, in words."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add `cache_write_tokens` to calls and their sums, and `reason` to calls; old rows have none."""
    for table in ("llm_calls", "llm_usage"):
        op.add_column(table, sa.Column("cache_write_tokens", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("llm_calls", sa.Column("reason", sa.Text(), nullable=False, server_default=""))
