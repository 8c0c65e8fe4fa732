"""The real embedding model, exported anew: a cache may hold the file of an older version."""

from pathlib import Path

import pytest

from aegis_dagster.embedding.minilm import MiniLmEmbedder
from aegis_dagster.embedding.model_files import ensure_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def embedder(model_folder: Path) -> MiniLmEmbedder:
    return MiniLmEmbedder(model_folder, batch_size=8, threads=0)
