"""A real vector store in an empty folder, by each engine."""

from pathlib import Path

import pytest

from aegis_dagster.stores.vectors.engines import EngineFolder
from aegis_dagster.stores.vectors.qdrant import QdrantStore
from aegis_dagster_tests.support.points_writer import FOLDERS, open_store


@pytest.fixture(params=sorted(FOLDERS))
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def folder(tmp_path: Path, engine: str) -> EngineFolder:
    return FOLDERS[engine](tmp_path / "qdrant")


@pytest.fixture
def store(folder: EngineFolder) -> QdrantStore:
    return open_store(folder)
