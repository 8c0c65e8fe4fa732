"""The embed stage: chunks become points of the vector store.

Belongs here: windows of many documents, the cache, replacing a document's points.
Does not belong here: the model (`Embedder`), the store (`VectorStore`).
"""

import asyncio
import math
from collections.abc import Sequence

from aegis_dagster.domain.chunks import LocatedChunk
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import Document, Failure, Outcome, Stage, Status
from aegis_dagster.errors import DocumentError
from aegis_dagster.ports import VectorPoint, Vectors
from aegis_dagster.stages.chunk import located_chunks
from aegis_dagster.stages.report import StageReport
from aegis_dagster.stages.runner import Work, run_batches, upstream_failed
from aegis_dagster.stages.workbench import Workbench

_TEXTS_PER_CALL = 128  # cached after each call: what a kill loses at most
CHUNKS = "chunk vectors"  # label of the progress that counts chunks


async def embed_chunks(documents: Sequence[Document], bench: Workbench, *, force: bool = False) -> StageReport:
    """Embed what is stale and publish it. Raises ServiceError when a store is broken.

    force publishes again; it does not embed again what the cache holds.
    """
    return await run_batches(Stage.EMBED, documents, bench, _embed, _windows, force=force)


def _windows(todo: Sequence[Work], bench: Workbench) -> list[list[Work]]:
    """Documents in groups of about `embed_window_chunks` chunks."""
    windows: list[list[Work]] = []
    size = math.inf
    for work in todo:
        state = work.states.get(Stage.CHUNK)
        chunks = int(state.facts.get("chunks", 0)) if state else 0
        if size + chunks > bench.options.embed_window_chunks:
            windows.append([])
            size = 0
        windows[-1].append(work)
        size += chunks
    return windows


async def _embed(works: Sequence[Work], bench: Workbench, report: StageReport) -> dict[DocumentId, Outcome]:
    outcomes: dict[DocumentId, Outcome] = {}
    chunks: dict[DocumentId, list[LocatedChunk]] = {}
    for work in works:
        document_id = work.document.id
        try:
            chunks[document_id] = [] if work.clear else located_chunks(work, bench)
        except DocumentError as error:
            outcomes[document_id] = Outcome(Status.FAILED, failure=Failure.of(error))
            continue
        facts = {"points": len(chunks[document_id]), "model": bench.embedder.model}
        outcomes[document_id] = upstream_failed() if work.clear else Outcome(Status.DONE, facts)
    vectors = await _vectors([chunk for found in chunks.values() for chunk in found], bench, report)
    held = bench.catalog.still_held(Stage.EMBED, {work.document.id: work.fingerprint(Stage.EMBED) for work in works})
    readable = [work for work in works if work.document.id in chunks and work.document.id in held]
    points = [
        VectorPoint(chunk, work.document.collection, work.fingerprint(Stage.EMBED), vectors[chunk.content_hash])
        for work in readable
        for chunk in chunks[work.document.id]
    ]
    fingerprints = {work.document.id: work.fingerprint(Stage.EMBED) for work in readable}
    await asyncio.to_thread(bench.vectors.replace_documents, points, fingerprints)
    return outcomes


async def _vectors(chunks: Sequence[LocatedChunk], bench: Workbench, report: StageReport) -> dict[str, Vectors]:
    """A vector for every text of the chunks, from the cache or the model, by text hash."""
    model = bench.embedder.model
    texts = {chunk.content_hash: chunk.chunk.embedded_text for chunk in chunks}
    found = bench.embedding_cache.get(model, texts)
    missing = sorted((key for key in texts if key not in found), key=lambda key: (len(texts[key]), key), reverse=True)
    report.work["chunks_from_cache"] += len(chunks) - len(missing)
    if missing:
        bench.progress.start(CHUNKS, len(missing))
    for start in range(0, len(missing), _TEXTS_PER_CALL):
        keys = missing[start : start + _TEXTS_PER_CALL]
        rows = await asyncio.to_thread(bench.embedder.embed, [texts[key] for key in keys])
        new = dict(zip(keys, rows, strict=True))
        bench.embedding_cache.put(model, new)
        found.update(new)
        report.work["chunks_embedded"] += len(keys)
        bench.progress.advance(CHUNKS, len(keys))
    if missing:
        bench.progress.finish(CHUNKS)
    return found
