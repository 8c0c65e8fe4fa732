"""The chunk: one passage of a document, with its position."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aegis_dagster.domain.identifiers import ChunkId, DocumentId, chunk_id, text_hash


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on a page in PDF points (1/72 inch), origin at the page's top-left corner."""

    page_no: int  # 1-based
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Chunk:
    """One passage. Document-independent: two documents with equal bytes share it."""

    ordinal: int  # 0-based position in the document
    text: str  # the passage as a reader sees it, tables as Markdown
    embedded_text: str  # the text for embedding and extraction: headings, then the passage
    headings: tuple[str, ...] = ()  # outermost first
    pages: tuple[int, ...] = ()  # 1-based, ascending; empty where the format has no pages
    boxes: tuple[Box, ...] = ()
    pictures: tuple[str, ...] = ()  # JSON pointers into the document, e.g. "#/pictures/0"
    token_count: int = 0  # tokens of embedded_text by the embedding model's tokenizer

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, in field order."""
        return {
            "ordinal": self.ordinal,
            "text": self.text,
            "embedded_text": self.embedded_text,
            "headings": self.headings,
            "pages": self.pages,
            "boxes": [asdict(box) for box in self.boxes],
            "pictures": self.pictures,
            "token_count": self.token_count,
        }

    @staticmethod
    def from_json(values: dict[str, Any]) -> "Chunk":
        """The chunk from the values of `to_json`."""
        return Chunk(
            ordinal=values["ordinal"],
            text=values["text"],
            embedded_text=values["embedded_text"],
            headings=tuple(values["headings"]),
            pages=tuple(values["pages"]),
            boxes=tuple(Box(**box) for box in values["boxes"]),
            pictures=tuple(values["pictures"]),
            token_count=values["token_count"],
        )


@dataclass(frozen=True, slots=True)
class LocatedChunk:
    """A chunk of one document, with its id and the hash under which its embedding is cached."""

    id: ChunkId
    document_id: DocumentId
    content_hash: str  # text_hash(chunk.embedded_text)
    chunk: Chunk


def locate(document_id: DocumentId, chunks: Sequence[Chunk]) -> list[LocatedChunk]:
    """Give the chunks of one document their ids. Equal texts are distinguished by their occurrence number."""
    seen: Counter[str] = Counter()
    located = []
    for chunk in chunks:
        content_hash = text_hash(chunk.embedded_text)
        located.append(
            LocatedChunk(chunk_id(document_id, content_hash, seen[content_hash]), document_id, content_hash, chunk)
        )
        seen[content_hash] += 1
    return located
