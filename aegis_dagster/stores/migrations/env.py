"""Alembic's entry point: runs the migrations on the connection that `stores.database` passes in.

Belongs here: nothing but the wiring. Does not belong here: engine or URL handling.
"""

from alembic import context

from aegis_dagster.stores.alerts_schema import alerts
from aegis_dagster.stores.catalog_schema import documents
from aegis_dagster.stores.database import metadata
from aegis_dagster.stores.evidence_schema import entities
from aegis_dagster.stores.ledger_schema import llm_calls

assert documents.metadata is metadata  # the imports register the tables
assert entities.metadata is metadata
assert alerts.metadata is metadata
assert llm_calls.metadata is metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
