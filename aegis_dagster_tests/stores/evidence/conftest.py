"""Databases and documents for the tests of the evidence."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from aegis_dagster.domain.evidence import DocumentEvidence
from aegis_dagster.stores.database import open_database
from aegis_dagster_tests.support.redocred import corpus, evidence_of


@pytest.fixture
def new_engine(tmp_path: Path) -> Iterator[Callable[[str], Engine]]:
    """Opens the database of a name; the same name is the same file."""
    engines: list[Engine] = []

    def open_named(name: str) -> Engine:
        engines.append(open_database(f"sqlite:///{tmp_path / name}.db"))
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
