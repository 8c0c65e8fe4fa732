"""The embedder is at least nine tenths as fast as bare sentence-transformers."""

from pathlib import Path

import pytest

from aegis_dagster.settings import load_settings
from aegis_dagster_tests.support.embedding_throughput import compare, pep_passages
from aegis_dagster_tests.support.missing import missing
from aegis_dagster_tests.support.places import PEPS


@pytest.mark.slow
@pytest.mark.alone
def test_passages_are_embedded_nine_tenths_as_fast_as_by_sentence_transformers(model_folder: Path) -> None:
    passages = pep_passages(64)
    if passages is None:
        missing(f"{PEPS} is missing")
    found = compare(model_folder, passages, batch_size=load_settings().embed.batch_size, rounds=2)
    assert found.difference < 1e-5
    assert found.ratio >= 0.9, found
