"""Dagster's storage on the Postgres server of the setting `database`: dagster.yaml names the class here.

The address is read from the settings, so dagster.yaml, which others may read, holds no password. Dagster's tables need
a schema of their own: both it and we keep a revision in a table named alembic_version.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._serdes import ConfigurableClassData

from aegis_dagster.errors import ConfigurationError
from aegis_dagster.settings import load_settings
from aegis_dagster.stores.database import server_url

try:
    from dagster_postgres import DagsterPostgresStorage
except ModuleNotFoundError as error:  # Dagster would say that this module is missing
    raise ConfigurationError(
        "dagster.yaml puts Dagster's storage on Postgres, and dagster-postgres is not installed.",
        remedy="pip install 'aegis_dagster[postgres]'",
    ) from error

SCHEMA = "dagster"
IN_DATABASE = """
# Runs, events and schedules are in the database that the setting `database` names, in a schema of their own.
storage:
  custom:
    module: aegis_dagster.defs.postgres_storage
    class: PostgresStorage
    config:
      schema: dagster
"""
_CREATING = 5_230_003  # Postgres advisory lock; any number not used elsewhere
_TABLES = ("runs", "event_logs", "jobs")  # the last that each of the three storages creates


class PostgresStorage(DagsterPostgresStorage):
    """Dagster's own storage, whose address is that of our database."""

    def __init__(self, url: str, schema: str, inst_data: ConfigurableClassData | None = None) -> None:
        self.schema = schema
        with _alone(url, schema):
            super().__init__(server_url(url, schema), inst_data=inst_data)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The keys below `config` in dagster.yaml."""
        return {"schema": dg.Field(str, is_required=False, default_value=SCHEMA)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PostgresStorage":
        """The storage. Raises ConfigurationError when the settings name no server, and what the server says."""
        database = load_settings().database_url
        if not database.startswith("postgresql"):
            raise ConfigurationError(
                "dagster.yaml puts Dagster's storage into the database of the settings, and they name no Postgres.",
                remedy="set AEGIS_DATABASE for this process, too, or take `storage` out of dagster.yaml.",
            )
        return cls(database, config_value["schema"], inst_data)


@contextmanager
def _alone(url: str, schema: str) -> Iterator[None]:
    """Create the schema. Where tables are missing, hosts that open the storage at the same time queue up.

    The lock belongs to a transaction, so it also works through a pooler, and ends with its process.
    """
    engine = sa.create_engine(server_url(url), poolclass=sa.NullPool)
    with engine.connect() as connection:
        found = sa.text("SELECT count(*) FROM pg_tables WHERE schemaname = :schema AND tablename = ANY(:names)")
        known = connection.execute(found, {"schema": schema, "names": list(_TABLES)}).scalar_one()
    if known == len(_TABLES):
        yield
        return
    queue = sa.select(sa.func.pg_advisory_xact_lock(_CREATING))
    with engine.begin() as connection:  # committed before Dagster looks into it
        connection.execute(queue)
        connection.execute(sa.schema.CreateSchema(schema, if_not_exists=True))
    with engine.begin() as connection:
        connection.execute(queue)
        yield
