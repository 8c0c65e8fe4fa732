"""Evidence: what one chunk says about entities and the relations between them."""

from collections.abc import Sequence
from dataclasses import dataclass

from aegis_dagster.domain.identifiers import ChunkId, DocumentId


@dataclass(frozen=True, slots=True)
class Mention:
    """One chunk names one entity."""

    name: str  # as written, whitespace collapsed
    type: str  # e.g. "organization", "acronym", "phrase"
    description: str = ""


@dataclass(frozen=True, slots=True)
class RelationEvidence:
    """One chunk relates two entities, both of which it mentions."""

    source: str  # name of a mention in the same chunk
    target: str
    keywords: str = ""
    description: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ChunkEvidence:
    """All that one chunk says."""

    mentions: tuple[Mention, ...] = ()
    relations: tuple[RelationEvidence, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentEvidence:
    """All that one document says, chunk by chunk. Chunk ids are unique."""

    document_id: DocumentId
    fingerprint: str  # of the document at the graph stage
    chunks: Sequence[tuple[ChunkId, ChunkEvidence]]


@dataclass(frozen=True, slots=True)
class GraphSize:
    """How much a graph holds."""

    entities: int
    relations: int
