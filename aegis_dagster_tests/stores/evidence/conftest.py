"""Databases and documents for the tests of the evidence."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy.engine import Engine

from aegis_dagster.domain.evidence import DocumentEvidence
from aegis_dagster.stores.database import open_database
from aegis_dagster_tests.support.redocred import corpus, evidence_of


@pytest.fixture(params=["sqlite", "postgres"])
def new_engine(request: pytest.FixtureRequest, new_tables: Callable[[str], str]) -> Iterator[Callable[[str], Engine]]:
    """Opens the database of a name on each kind of server; the same name is the same database.

    A test that takes long on one kind says so: `@pytest.mark.parametrize("new_engine", ["sqlite"], indirect=True)`.
    """
    engines: list[Engine] = []
    urls: dict[str, str] = {}

    def open_named(name: str) -> Engine:
        if name not in urls:
            urls[name] = new_tables(request.param)
        engines.append(open_database(urls[name]))
        return engines[-1]

    yield open_named
    for engine in engines:
        engine.dispose()


@pytest.fixture
def engine(new_engine: Callable[[str], Engine]) -> Engine:
    """A new database."""
    return new_engine("graph")


@pytest.fixture(scope="session")
def gold() -> list[DocumentEvidence]:
    """What the scripted extractor finds in each document of Re-DocRED."""

    async def all_documents() -> list[DocumentEvidence]:
        return [await evidence_of(document) for document in corpus()[0]]

    return asyncio.run(all_documents())


@pytest.fixture(scope="session")
def edited() -> list[DocumentEvidence]:
    """The same documents after somebody removed every second entity."""

    async def all_documents() -> list[DocumentEvidence]:
        return [await evidence_of(document, keep=2) for document in corpus()[0]]

    return asyncio.run(all_documents())
