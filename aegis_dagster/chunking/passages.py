"""Turns passages into chunks: the one place that enforces the guarantees of every chunk."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aegis_dagster.chunking.splitting import TextSplitter
from aegis_dagster.chunking.tokens import TokenCounter
from aegis_dagster.domain.chunks import Box, Chunk

ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a document under one path of headings. Its text may be empty: it then has only headings."""

    text: str
    headings: tuple[str, ...]  # outermost first
    items: tuple[str, ...]  # JSON pointers to the items it was made of, e.g. "#/texts/3"


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a passage's items."""

    pages: tuple[int, ...]  # 1-based, ascending
    boxes: tuple[Box, ...]
    pictures: tuple[str, ...]  # JSON pointers


def embedded_text(headings: Iterable[str], text: str) -> str:
    """The text to embed: one heading per line, then the text (the form HybridChunker's `contextualize` gives it)."""
    return "\n".join([*headings, text])


def to_chunks(
    passages: Iterable[Passage], locate: Callable[[Iterable[str]], Place], counter: TokenCounter, max_tokens: int
) -> list[Chunk]:
    """Number the passages and cut those that are too long. No chunk is empty, none exceeds `max_tokens`."""
    splitter = TextSplitter(counter)
    chunks: list[Chunk] = []
    for passage in passages:
        headings = tuple(heading for heading in passage.headings if heading.strip())
        text = passage.text.strip("\n").rstrip()
        if not text.strip():
            if not headings:
                continue
            headings, text = headings[:-1], headings[-1]
        place = locate(passage.items)
        pieces = [text]
        if counter.cost(embedded_text(headings, text)) > max_tokens:
            headings = fit_headings(headings, counter, max_tokens // 2)
            room = max_tokens - counter.cost("\n".join(headings))
            pieces = [text] if counter.cost(text) <= room else splitter.split(text, room)
        for piece in pieces:
            embedded = embedded_text(headings, piece)
            chunks.append(
                Chunk(
                    ordinal=len(chunks),
                    text=piece,
                    embedded_text=embedded,
                    headings=headings,
                    pages=place.pages,
                    boxes=place.boxes,
                    pictures=place.pictures,
                    token_count=counter.count(embedded),
                )
            )
    return chunks


def fit_headings(headings: tuple[str, ...], counter: TokenCounter, budget: int) -> tuple[str, ...]:
    """The headings in at most `budget` tokens: long ones shortened to an equal share, then the outermost left out."""
    if not headings or counter.cost("\n".join(headings)) <= budget:
        return headings
    share = max(budget // len(headings), 2)
    kept: list[str] = []
    left = budget
    for heading in reversed([shorten(heading, counter, share) for heading in headings]):
        left -= counter.cost(heading)
        if left < 0:
            break
        kept.insert(0, heading)
    return tuple(kept)


def shorten(text: str, counter: TokenCounter, budget: int) -> str:
    """The beginning of a text with an ellipsis, in at most `budget` (at least 2) tokens; a text that fits as it is."""
    if counter.cost(text) <= budget:
        return text
    return TextSplitter(counter).split(text, budget - 1)[0] + ELLIPSIS
