"""A real vector store in an empty folder."""

from pathlib import Path

import pytest

from aegis_dagster.stores.vectors.qdrant import QdrantStore
from aegis_dagster_tests.support.points import DIMENSIONS


@pytest.fixture
def store(tmp_path: Path) -> QdrantStore:
    return QdrantStore(
        tmp_path / "qdrant", alias="documents", model="model/1", dimensions=DIMENSIONS, lock_timeout_seconds=30
    )
