"""Finds the passages that answer a question."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from aegis_dagster.composition.damage import folder_to_read
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.chunks import LocatedChunk, locate
from aegis_dagster.domain.identifiers import ChunkId, DocumentId
from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import ConfigurationError, Deferred, DocumentError
from aegis_dagster.ports import Vectors
from aegis_dagster.process_identity import new_owner
from aegis_dagster.stages.chunk import read_chunks
from aegis_dagster.stores.vectors.qdrant import QdrantStore

logger = logging.getLogger(__name__)

_SPARE = 10
_PATIENCE_SECONDS = 10.0  # for the one try of a provider that embeds the question
MODES = ("fused", "dense", "sparse")


@dataclass(frozen=True, slots=True)
class PassageHit:
    """One passage that answers a question."""

    document: DocumentId
    chunk: ChunkId
    score: float
    pages: tuple[int, ...]
    headings: tuple[str, ...]
    text: str

    def to_json(self) -> dict[str, Any]:
        """The JSON contract of `search`."""
        return asdict(self)


async def find_passages(
    project: Project,
    question: str,
    *,
    limit: int = 5,
    mode: str = "fused",
    collection: str | None = None,
    tell: Callable[[str], None] = logger.warning,
) -> list[PassageHit]:
    """The best passages first. mode: "fused", "dense" or "sparse".

    When the question cannot be embedded, because a provider has no budget, does not answer or is not configured, only
    its words are searched; `tell` gets the reason and the remedy in one line.

    Raises ConfigurationError for another mode or an empty question and when a server refuses, ServiceError when a store
    is broken.
    """
    if mode not in MODES:
        raise ConfigurationError(f"There is no search mode {mode!r}.", remedy=f"use one of {', '.join(MODES)}.")
    if not question.strip():
        raise ConfigurationError("The question is empty.", remedy="say what to look for.")
    vectors = project.vectors_to_search
    try:
        vectors = vectors or project.vectors
    except ConfigurationError as error:  # nothing is stored yet, and nothing could be
        tell(str(error))
        return []
    vector = None
    if mode != "sparse" and vectors.exists():
        try:
            vector = await _embedded(project, question, vectors)
        except (Deferred, DocumentError, ConfigurationError) as error:
            mode = "sparse"
            tell(f"Only words are searched, because the question cannot be embedded. {error}")
    # More than requested: the text of a document that is being chunked again is not available.
    hits = vectors.search(question, vector, limit=limit + _SPARE, mode=mode, collection=collection)
    passages = passages_of(project, {hit.document_id for hit in hits})
    return [
        PassageHit(hit.document_id, hit.chunk_id, round(hit.score, 6), hit.pages, hit.headings, found.chunk.text)
        for hit in hits
        if (found := passages.get(hit.chunk_id)) is not None
    ][:limit]


async def _embedded(project: Project, question: str, vectors: QdrantStore) -> Vectors:
    """The question's vector by the model that made the stored ones, shape (dimensions,); a provider is tried once."""
    models = project.models(f"search {new_owner()}", patience_seconds=_PATIENCE_SECONDS)
    try:
        embedder = models.embedder_of(vectors.collection, project.settings.qdrant.collection)
        rows = await embedder.embed([question], AskedFor())
        row: Vectors = rows[0]
        return row
    finally:
        await models.aclose()


def passages_of(project: Project, ids: set[DocumentId]) -> dict[ChunkId, LocatedChunk]:
    """All passages of these documents by chunk id; a document that is being chunked now has none."""
    found: dict[ChunkId, LocatedChunk] = {}
    # By the last chunking, not the wanted one: a document that waits to be chunked again is found too.
    for document, fingerprint in project.documents.fingerprints(Stage.CHUNK, ids).items():
        if not project.artifacts.exists(Stage.CHUNK, fingerprint):
            continue
        with (
            project.artifacts.reading(),
            suppress(DocumentError),
        ):  # a damaged artifact does not affect other hits; `aegis status` names it
            sound = folder_to_read(project, Stage.CHUNK, fingerprint)
            found.update((chunk.id, chunk) for chunk in locate(document, read_chunks(sound)))
    return found
