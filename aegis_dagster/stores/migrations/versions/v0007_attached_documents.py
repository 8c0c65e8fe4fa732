"""Documents that are attached to mails."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the mail that a document is attached to, and the subjects of its mails; other documents have none."""
    for name in ("mail", "context"):
        op.add_column("documents", sa.Column(name, sa.Text(), nullable=False, server_default=""))
