"""Finds the passages that answer a question."""

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from aegis_dagster.composition.damage import folder_to_read
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.chunks import LocatedChunk, locate
from aegis_dagster.domain.identifiers import ChunkId, DocumentId
from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import ConfigurationError, DocumentError
from aegis_dagster.process_identity import new_owner
from aegis_dagster.stages.chunk import read_chunks

_SPARE = 10
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
    project: Project, question: str, *, limit: int = 5, mode: str = "fused", collection: str | None = None
) -> list[PassageHit]:
    """The best passages first. mode: "fused", "dense" or "sparse".

    Raises ConfigurationError for another mode or an empty question, ServiceError when the store is broken, Deferred
    when a provider embeds questions and its budget is exhausted or it does not answer.
    """
    if mode not in MODES:
        raise ConfigurationError(f"There is no search mode {mode!r}.", remedy=f"use one of {', '.join(MODES)}.")
    if not question.strip():
        raise ConfigurationError("The question is empty.", remedy="say what to look for.")
    models = project.models(f"search {new_owner()}")
    try:
        embedder, vectors = project.vectors_to_search(models)
        vector = (await embedder.embed([question], AskedFor()))[0] if mode != "sparse" else None
    finally:
        await models.aclose()
    # More than requested: the text of a document that is being chunked again is not available.
    hits = vectors.search(question, vector, limit=limit + _SPARE, mode=mode, collection=collection)
    passages = passages_of(project, {hit.document_id for hit in hits})
    return [
        PassageHit(hit.document_id, hit.chunk_id, round(hit.score, 6), hit.pages, hit.headings, found.chunk.text)
        for hit in hits
        if (found := passages.get(hit.chunk_id)) is not None
    ][:limit]


def passages_of(project: Project, ids: set[DocumentId]) -> dict[ChunkId, LocatedChunk]:
    """All passages of these documents by chunk id; a document that is being chunked now has none."""
    found: dict[ChunkId, LocatedChunk] = {}
    for known in project.states.of(project.documents.get(ids)):
        # By the last chunking, not the wanted one: a document that waits to be chunked again is found too.
        state = known.recorded.get(Stage.CHUNK)
        if state is None or not project.artifacts.exists(Stage.CHUNK, state.fingerprint):
            continue
        with suppress(DocumentError):  # a damaged artifact does not affect other hits; `aegis status` names it
            sound = folder_to_read(project, Stage.CHUNK, state.fingerprint)
            found.update((chunk.id, chunk) for chunk in locate(known.document.id, read_chunks(sound)))
    return found
