"""Migrations and the schema agree, on an empty database and on an old one."""

from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from aegis_dagster.stores import database
from aegis_dagster.stores.catalog import schema as catalog_schema
from aegis_dagster.stores.database import HEAD_REVISION, metadata, open_database
from aegis_dagster.stores.evidence import schema as evidence_schema


def test_migrations_make_exactly_the_tables_of_the_schema(tmp_path: Path) -> None:
    assert catalog_schema.documents.metadata is evidence_schema.entities.metadata is metadata
    engine = open_database(f"sqlite:///{tmp_path / 'aegis.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_newest_migration_is_the_one_the_code_expects() -> None:
    folder = Path(database.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_current_head() == HEAD_REVISION


def test_a_database_opens_again_with_its_rows(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'aegis.db'}"
    with open_database(url).connect() as connection, connection.begin():
        connection.execute(sa.insert(catalog_schema.passed_over_files).values(path="p", reason="r", remedy="m"))
    with open_database(url).connect() as connection:
        assert connection.execute(sa.select(catalog_schema.passed_over_files.c.path)).scalars().all() == ["p"]


def test_every_name_of_the_schema_fits_postgres() -> None:
    dialect = sa.create_mock_engine("postgresql+psycopg2://", print).dialect
    for table in metadata.sorted_tables:
        sa.schema.CreateTable(table).compile(dialect=dialect)
        assert all(len(str(index.name)) <= 63 for index in table.indexes)
