"""How much work is in documents that nobody has read yet."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aegis_dagster.domain.identifiers import CollectionName

ENOUGH = 5  # documents of one format, to go by them instead of by the table


@dataclass(frozen=True, slots=True)
class Yardstick:
    """So many bytes of a file come to one chunk, and to one picture that is looked at; None: it has no pictures."""

    bytes_per_chunk: int
    bytes_per_picture: int | None = None


# By suffix. Guesses, not measured; they count only until five documents of the format are done. Text has 240
# tokens a chunk at four characters a token; the others carry fonts, markup and compression.
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
    """Calls' worth of work in a document."""

    chunks: int
    pictures: int  # that are looked at: without decoration


@dataclass(frozen=True, slots=True)
class Done:
    """What a document that is done came to."""

    collection: CollectionName
    suffix: str
    size_bytes: int
    chunks: int
    pictures: int  # in the document
    looked_at: int  # of these


class Experience:
    """What documents that are done say of those that are not."""

    def __init__(self, done: Iterable[Done]) -> None:
        self._by_format: dict[str, list[Done]] = {}
        self._by_both: dict[tuple[CollectionName, str], list[Done]] = {}
        for one in done:
            self._by_format.setdefault(one.suffix, []).append(one)
            self._by_both.setdefault((one.collection, one.suffix), []).append(one)

    def expected(self, collection: CollectionName, suffix: str, size_bytes: int) -> Amount:
        """From files of this format: of the collection, else of all, else from the table. Rounded up."""
        alike = self._alike(collection, suffix)
        total = sum(one.size_bytes for one in alike)
        if not total:
            return _guessed(suffix, size_bytes)
        chunks = sum(one.chunks for one in alike)
        looked_at = sum(one.looked_at for one in alike)
        return Amount(_share(size_bytes, chunks, total), _share(size_bytes, looked_at, total))

    def looked_at(self, collection: CollectionName, suffix: str, pictures: int) -> int:
        """How many of the pictures of a parsed document are worth a look; all of them where nothing is known."""
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
        return Amount(0, 0)  # is refused when it is parsed
    pictures = -(-size_bytes // guess.bytes_per_picture) if guess.bytes_per_picture else 0
    return Amount(-(-size_bytes // guess.bytes_per_chunk), pictures)


def _share(of: int, part: int, whole: int) -> int:
    return -(-of * part // whole)
