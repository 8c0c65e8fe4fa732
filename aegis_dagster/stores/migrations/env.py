"""Alembic's entry point: runs the migrations on the connection that `stores.database` passes in."""

from alembic import context

from aegis_dagster.stores.alerts.schema import alerts
from aegis_dagster.stores.catalog.schema import documents
from aegis_dagster.stores.database import metadata
from aegis_dagster.stores.evidence.schema import entities
from aegis_dagster.stores.home import home
from aegis_dagster.stores.ledger.schema import llm_calls

assert documents.metadata is metadata  # the imports register the tables
assert entities.metadata is metadata
assert alerts.metadata is metadata
assert home.metadata is metadata
assert llm_calls.metadata is metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
