"""The network that a card runs: right vectors, room for batches, and a card that is full or broken.

numpy stands in for torch, which tests do not have; `python -m scripts.check_gpu` asks the real one.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from aegis_dagster.embedding.model_files import network_files
from aegis_dagster.embedding.on_card import CardEmbedder
from aegis_dagster.embedding.torch_network import MOST_TOKENS, TorchNetwork
from aegis_dagster.errors import ServiceError
from aegis_dagster_tests.support.numpy_torch import Card, numpy_torch

STORED = json.loads(Path(__file__).with_name("reference_vectors.json").read_text("utf-8"))
SHORT = [row for row in STORED if len(row["text"]) < 30]
TEXTS = [row["text"] for row in SHORT]


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    card = Card()
    for name, module in numpy_torch(card).items():
        monkeypatch.setitem(sys.modules, name, module)
    return card


def embedder(device: str = "cuda:0", precision: str = "fp32") -> CardEmbedder:
    files = network_files()
    return CardEmbedder(lambda: TorchNetwork(files, device, precision), files / "tokenizer.json", "mini")


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_vectors_equal_those_of_sentence_transformers_never_by_tf32(card: Card, device: str) -> None:
    assert len(SHORT) >= 6
    rows = embedder(device).embed_now(TEXTS)
    assert np.abs(rows - np.array([row["vector"] for row in SHORT])).max() < 1e-5
    assert sys.modules["torch"].__dict__["precision"] == "highest"
    assert card.emptied == (0 if device == "cpu" else 1)


def test_fp16_is_close_and_gives_rows_of_float32(card: Card) -> None:
    rows = embedder(precision="fp16").embed_now(TEXTS)
    gap = np.abs(rows - np.array([row["vector"] for row in SHORT])).max()
    assert 1e-5 < gap < 1e-2 and rows.dtype == np.float32
    assert np.abs(np.linalg.norm(rows, axis=1) - 1).max() < 1e-5


def test_a_batch_too_large_for_the_card_is_halved(card: Card) -> None:
    card.most_rows = 30
    rows = embedder().embed_now(TEXTS)
    assert card.refused > 0
    assert np.abs(rows - np.array([row["vector"] for row in SHORT])).max() < 1e-5


@pytest.mark.parametrize(
    ("free_mb", "precision", "most"),
    [(64, "fp32", 512), (64, "fp16", 1024), (100_000, "fp32", MOST_TOKENS), (0, "fp32", 1)],
)
def test_a_batch_takes_half_of_the_free_memory_and_no_more_than_is_useful(
    card: Card, free_mb: int, precision: str, most: int
) -> None:
    card.free_mb = free_mb
    assert TorchNetwork(network_files(), "cuda:0", precision).most_tokens() == most


def test_a_card_without_room_for_one_text_says_what_is_free(card: Card) -> None:
    card.most_rows, card.free_mb = 0, 7
    with pytest.raises(ServiceError, match=r"not take even one text for mini: 7 MiB are free.*nvidia-smi"):
        embedder().embed_now(TEXTS)


def test_a_card_that_does_not_work_is_told_in_one_line(card: Card) -> None:
    card.broken = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ..."
    with pytest.raises(ServiceError, match="The card cuda:0 does not work: CUDA error: an illegal") as caught:
        embedder().embed_now(TEXTS)
    assert "kernel errors" not in str(caught.value)


def test_what_is_no_fault_of_the_card_is_not_blamed_on_it(card: Card) -> None:
    card.broken = "shapes do not match"
    with pytest.raises(RuntimeError, match="shapes do not match"):
        embedder().embed_now(TEXTS)
