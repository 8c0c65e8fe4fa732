"""Migrations make the tables of the schema, on both databases, also when several processes begin at once."""

from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from aegis_dagster.stores.database import HEAD_REVISION, metadata, open_database
from aegis_dagster.stores.ledger.schema import llm_calls


def test_migrations_make_exactly_the_tables_of_the_schema(empty_url: str) -> None:
    assert llm_calls.metadata is metadata
    engine = open_database(empty_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_several_that_open_an_empty_database_at_once_all_find_it_ready(empty_url: str) -> None:
    def revision(_: int) -> str:
        engine = open_database(empty_url)
        with engine.connect() as connection:
            found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one()
        engine.dispose()
        return str(found)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(revision, range(4))) == [HEAD_REVISION] * 4
