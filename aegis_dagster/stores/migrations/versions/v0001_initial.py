"""The first schema: catalog, caches, evidence."""

from alembic import op

from aegis_dagster.stores.database import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())
