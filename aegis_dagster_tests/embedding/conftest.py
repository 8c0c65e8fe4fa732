"""The real embedding model, exported once per machine into the cache that users have."""

from pathlib import Path

import pytest

from aegis_dagster.embedding.minilm import MiniLmEmbedder
from aegis_dagster.embedding.model_files import ensure_model
from aegis_dagster.settings import load_settings


@pytest.fixture(scope="session")
def model_folder() -> Path:
    return ensure_model(load_settings().model_cache)


@pytest.fixture(scope="session")
def embedder(model_folder: Path) -> MiniLmEmbedder:
    return MiniLmEmbedder(model_folder, batch_size=8, threads=0)
