"""Texts as batches of tokens that fit a card's memory: halved and tried again when it is not enough."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Result = TypeVar("Result")
Tokens = Sequence[int]  # the ids of one text


class CardFull(Exception):
    """A card has too little free memory for what was begun on it."""


def in_batches(
    texts: Sequence[Tokens], most_tokens: int, run: Callable[[Sequence[Tokens]], Result]
) -> list[tuple[list[int], Result]]:
    """The places of the texts in each batch, with what `run` made of it.

    Texts of similar length share a batch, so that little of it is padding; the longest come first. A batch holds at
    most `most_tokens` with its padding, and at least one text. When `run` raises CardFull, this and all later batches
    are half as large. Raises CardFull when the memory does not take one text.
    """
    order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
    done: list[tuple[list[int], Result]] = []
    begin = 0
    while begin < len(order):
        longest = max(1, len(texts[order[begin]]))
        batch = order[begin : begin + max(1, most_tokens // longest)]
        try:
            done.append((batch, run([texts[place] for place in batch])))
        except CardFull:
            if len(batch) == 1:
                raise
            most_tokens = longest * (len(batch) // 2)
        else:
            begin += len(batch)
    return done
