"""Estimates the work in documents that have not been read yet."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aegis_dagster.domain.identifiers import CollectionName

ENOUGH = 5  # documents of one format needed to use them instead of the table


@dataclass(frozen=True, slots=True)
class Yardstick:
    """Bytes of a file per chunk, and per picture to describe (None: the format has no pictures)."""

    bytes_per_chunk: int
    bytes_per_picture: int | None = None


# By suffix. Guesses, not measured; used only until five documents of the format are done. Text has 240 tokens
# per chunk at four characters per token; the other formats contain fonts, markup and compression.
GUESSES: Mapping[str, Yardstick] = {
    **dict.fromkeys((".md", ".markdown", ".txt", ".text", ".rst", ".log", ".csv"), Yardstick(900)),
    **dict.fromkeys((".html", ".htm", ".xhtml"), Yardstick(3_000)),
    ".eml": Yardstick(2_000),
    ".pdf": Yardstick(12_000, 150_000),
    ".docx": Yardstick(5_000, 100_000),
    ".pptx": Yardstick(40_000, 100_000),
    ".xlsx": Yardstick(1_500),
    ".epub": Yardstick(1_500, 150_000),
}
PICTURE_FILES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class Amount:
    """The work in a document, counted in what calls are made for."""

    chunks: int
    pictures: int  # to describe, without decoration


@dataclass(frozen=True, slots=True)
class Done:
    """The actual numbers of a finished document."""

    collection: CollectionName
    suffix: str
    size_bytes: int
    chunks: int
    pictures: int  # in the document
    looked_at: int  # how many of these were described


class Experience:
    """Predicts numbers of unfinished documents from finished ones."""

    def __init__(self, done: Iterable[Done]) -> None:
        self._by_format: dict[str, list[Done]] = {}
        self._by_both: dict[tuple[CollectionName, str], list[Done]] = {}
        for one in done:
            self._by_format.setdefault(one.suffix, []).append(one)
            self._by_both.setdefault((one.collection, one.suffix), []).append(one)

    def expected(self, collection: CollectionName, suffix: str, size_bytes: int) -> Amount:
        """Estimated from files of this format in the collection, else in all, else from the table. Rounded up."""
        alike = self._alike(collection, suffix)
        total = sum(one.size_bytes for one in alike)
        if not total:
            return _guessed(suffix, size_bytes)
        chunks = sum(one.chunks for one in alike)
        looked_at = sum(one.looked_at for one in alike)
        return Amount(_share(size_bytes, chunks, total), _share(size_bytes, looked_at, total))

    def looked_at(self, collection: CollectionName, suffix: str, pictures: int) -> int:
        """How many pictures of a parsed document are expected to be described; all of them if nothing is known."""
        alike = self._alike(collection, suffix)
        total = sum(one.pictures for one in alike)
        return _share(pictures, sum(one.looked_at for one in alike), total) if total else pictures

    def _alike(self, collection: CollectionName, suffix: str) -> list[Done]:
        for found in (self._by_both.get((collection, suffix), []), self._by_format.get(suffix, [])):
            if len(found) >= ENOUGH:
                return found
        return []


def _guessed(suffix: str, size_bytes: int) -> Amount:
    if suffix in PICTURE_FILES:
        return Amount(chunks=2, pictures=1)
    guess = GUESSES.get(suffix)
    if guess is None or size_bytes == 0:
        return Amount(0, 0)  # parsing refuses it
    pictures = -(-size_bytes // guess.bytes_per_picture) if guess.bytes_per_picture else 0
    return Amount(-(-size_bytes // guess.bytes_per_chunk), pictures)


def _share(of: int, part: int, whole: int) -> int:
    return -(-of * part // whole)
