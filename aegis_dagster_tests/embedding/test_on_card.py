"""The embedder for a card, on a network of our own that has no more memory than it is given."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.embedding.batches import CardFull
from aegis_dagster.embedding.minilm import MiniLmEmbedder
from aegis_dagster.embedding.model_files import network_files
from aegis_dagster.embedding.on_card import FEW_TEXTS, CardEmbedder
from aegis_dagster.errors import ServiceError
from aegis_dagster.ports import Vectors

TEXTS = [f"{'word ' * (number * 7 % 50)}{number}" for number in range(3 * FEW_TEXTS)]


class Card:
    """A vector is the text's last word and its length, which tells every text from another."""

    device = "cuda:0"

    def __init__(self, room: int, planned: int = 10_000) -> None:
        """room: tokens of the largest batch that fits. planned: tokens that the card says it has room for."""
        self.room, self.planned = room, planned
        self.batches: list[int] = []
        self.full = self.given_back = 0

    def most_tokens(self) -> int:
        return self.planned

    def begin(self, tokens: Sequence[Sequence[int]]) -> Any:
        if max(len(ids) for ids in tokens) * len(tokens) > self.room:
            self.full += 1
            raise CardFull
        self.batches.append(len(tokens))
        rows = np.zeros((len(tokens), 384), dtype=np.float32)
        rows[:, :2] = [(ids[-2], len(ids)) for ids in tokens]
        return rows

    def vectors(self, begun: Any) -> Vectors:
        rows: Vectors = begun
        return rows

    def give_back(self) -> None:
        self.given_back += 1

    def free_mb(self) -> int:
        return 12


def embedder(open_network: Callable[[], Card | None], on_cpu: MiniLmEmbedder | None = None) -> CardEmbedder:
    return CardEmbedder(open_network, network_files() / "tokenizer.json", "mini", on_cpu)


def expected(texts: Sequence[str]) -> Vectors:
    return np.concatenate([embedder(lambda: Card(10_000)).embed_now([text]) for text in texts])


@pytest.mark.parametrize("room", [10_000, 300, 60])
async def test_rows_are_in_the_order_given_however_often_a_batch_is_halved(room: int) -> None:
    card = Card(room)
    one = embedder(lambda: card)
    rows = await one.embed(TEXTS, AskedFor())
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, expected(TEXTS))
    assert (card.full > 0) == (room < 10_000) and card.given_back == 1
    assert (one.device, one.model, one.dimensions) == ("cuda:0", "mini", 384)


def test_a_card_that_takes_no_text_is_an_error_that_says_what_is_free_and_what_helps() -> None:
    card = Card(room=3)
    with pytest.raises(ServiceError, match=r"not take even one text for mini: 12 MiB.*nvidia-smi"):
        embedder(lambda: card).embed_now(TEXTS)
    assert card.given_back == 1
    card.room = 10_000
    assert embedder(lambda: card).embed_now(TEXTS[:1]).shape == (1, 384)


def test_a_card_that_takes_not_even_the_weights_is_told_the_same() -> None:
    def full() -> Card:
        raise CardFull

    with pytest.raises(ServiceError, match="not take even one text for mini"):
        embedder(full).embed_now(["text"])


def test_few_texts_stay_on_the_cpu_until_many_have_opened_the_card(
    model_folder: Path, embedder: MiniLmEmbedder
) -> None:
    opened: list[Card] = []

    def open_network() -> Card:
        opened.append(Card(10_000))
        return opened[-1]

    one = CardEmbedder(open_network, model_folder / "tokenizer.json", embedder.model, embedder)
    np.testing.assert_array_equal(one.embed_now(TEXTS[:2]), embedder.embed_now(TEXTS[:2]))
    assert (one.device, opened) == ("cpu", [])
    one.embed_now(TEXTS[: FEW_TEXTS + 1])
    assert one.device == "cuda:0" and opened[0].batches == [FEW_TEXTS + 1]
    one.embed_now(TEXTS[:2])
    assert len(opened) == 1 and opened[0].batches == [FEW_TEXTS + 1, 2]


def test_where_there_is_no_card_after_all_the_cpu_embeds(model_folder: Path, embedder: MiniLmEmbedder) -> None:
    one = CardEmbedder(lambda: None, model_folder / "tokenizer.json", embedder.model, embedder)
    many = ["short text"] * (FEW_TEXTS + 1)
    assert np.abs(one.embed_now(many) - embedder.embed_now(many[:1])).max() < 1e-5
    assert one.device == "cpu"


def test_threads_share_one_network_and_take_turns() -> None:
    opened: list[Card] = []

    def open_network() -> Card:
        opened.append(Card(10_000))
        return opened[-1]

    one = embedder(open_network)
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda _: one.embed_now(TEXTS[:9]), range(4)))
    assert len(opened) == 1 and opened[0].given_back == 4
    np.testing.assert_array_equal(np.concatenate(rows), np.tile(expected(TEXTS[:9]), (4, 1)))


def test_no_texts_give_no_rows() -> None:
    assert embedder(lambda: Card(10_000)).embed_now([]).shape == (0, 384)
