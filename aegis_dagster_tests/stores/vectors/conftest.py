"""A real vector store that is empty: in a folder by each engine, and on a server's stand-in."""

from pathlib import Path

import pytest

from aegis_dagster.stores.vectors.engines import Backend
from aegis_dagster.stores.vectors.qdrant import QdrantStore
from aegis_dagster_tests.support.points_writer import FOLDERS, Folder, open_store, server_at
from aegis_dagster_tests.support.qdrant_server.running import QdrantStandIn


@pytest.fixture(params=sorted(FOLDERS))
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Folder:
    return FOLDERS[request.param](tmp_path / "qdrant")


@pytest.fixture(params=[*sorted(FOLDERS), "server"])
def backend(tmp_path: Path, request: pytest.FixtureRequest) -> Backend:
    if request.param in FOLDERS:
        return FOLDERS[request.param](tmp_path / "qdrant")
    server: QdrantStandIn = request.getfixturevalue("qdrant_server")
    return server_at(server.url)


@pytest.fixture
def store(backend: Backend) -> QdrantStore:
    return open_store(backend)
