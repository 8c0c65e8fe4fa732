"""Batches of tokens: every text once, no batch above the limit, halved when the memory is not enough."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_dagster.embedding.batches import CardFull, in_batches

LENGTHS = st.lists(st.integers(min_value=1, max_value=256), max_size=60)


def texts_of(lengths: Sequence[int]) -> list[list[int]]:
    return [[place] * length for place, length in enumerate(lengths)]


def padded_size(batch: Sequence[Sequence[int]]) -> int:
    return max(len(text) for text in batch) * len(batch)


@given(lengths=LENGTHS, most=st.integers(min_value=1, max_value=3000), room=st.integers(min_value=256, max_value=3000))
def test_every_text_is_in_one_batch_that_fits_the_plan_and_the_memory(lengths: list[int], most: int, room: int) -> None:
    def run(batch: Sequence[Sequence[int]]) -> list[int]:
        if padded_size(batch) > room:
            raise CardFull
        assert len(batch) == 1 or padded_size(batch) <= most
        return [text[0] for text in batch]

    done = in_batches(texts_of(lengths), most, run)
    assert all(places == found for places, found in done)
    assert sorted(place for places, _ in done for place in places) == list(range(len(lengths)))


def test_texts_of_similar_length_share_a_batch_the_longest_first() -> None:
    done = in_batches(texts_of([10, 200, 12, 190]), 400, lambda batch: [len(text) for text in batch])
    assert [found for _, found in done] == [[200, 190], [12, 10]]


def test_after_a_full_card_the_later_batches_are_small_at_once() -> None:
    asked: list[int] = []

    def run(batch: Sequence[Sequence[int]]) -> None:
        asked.append(len(batch))
        if len(batch) > 3:
            raise CardFull

    in_batches(texts_of([10] * 16), 160, run)
    assert asked == [16, 8, 4, *[2] * 8]


def test_a_memory_that_takes_no_text_is_told() -> None:
    asked: list[int] = []

    def run(batch: Sequence[Sequence[int]]) -> None:
        asked.append(len(batch))
        raise CardFull

    with pytest.raises(CardFull):
        in_batches(texts_of([10] * 4), 1000, run)
    assert asked == [4, 2, 1]
