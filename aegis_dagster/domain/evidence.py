"""Evidence: the statements of chunks about entities and the relations between them."""

from collections.abc import Sequence
from dataclasses import dataclass

from aegis_dagster.domain.identifiers import ChunkId, DocumentId


@dataclass(frozen=True, slots=True)
class Mention:
    """One entity that a chunk mentions."""

    name: str  # as written, whitespace collapsed
    type: str  # e.g. "organization", "acronym", "phrase"
    description: str = ""


@dataclass(frozen=True, slots=True)
class RelationEvidence:
    """A relation in a chunk between two entities that it mentions."""

    source: str  # name of a mention in the same chunk
    target: str
    keywords: str = ""
    description: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ChunkEvidence:
    """All evidence of one chunk."""

    mentions: tuple[Mention, ...] = ()
    relations: tuple[RelationEvidence, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentEvidence:
    """All evidence of one document, by chunk. Chunk ids are unique."""

    document_id: DocumentId
    fingerprint: str  # of the document at the graph stage
    chunks: Sequence[tuple[ChunkId, ChunkEvidence]]


@dataclass(frozen=True, slots=True)
class GraphSize:
    """The size of a graph."""

    entities: int
    relations: int
