"""The embed stage: turns chunks into points of the vector store."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

from aegis_dagster.domain.chunks import LocatedChunk
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.domain.stages import Document, Outcome, Stage, Status, failed, keeping_points, put_off
from aegis_dagster.errors import BudgetExhausted, Deferred, DocumentError, ModelsUnavailable
from aegis_dagster.ports import VectorPoint, Vectors
from aegis_dagster.stages.chunk import located_chunks
from aegis_dagster.stages.concurrency import each
from aegis_dagster.stages.context import StageReport, Workbench, part_of_stage
from aegis_dagster.stages.runner import Work, refused_for_limits, run_batches, smallest_first, upstream_failed

CHUNKS = "chunk vectors"  # progress label for chunks


class Embedding:
    """The vectors of a window of documents, by text hash."""

    def __init__(self, bench: Workbench, report: StageReport) -> None:
        self._bench = bench
        self._report = report
        self.vectors: dict[str, Vectors] = {}
        self.refused: dict[str, DocumentError] = {}  # texts that the model rejects, by hash
        self._most = bench.embedder.texts_per_call  # in one call; fewer once the model has rejected as many
        self._label = CHUNKS
        self.waits: Deferred | None = None  # if set, texts with neither vector nor error must wait

    async def embed(self, chunks: Sequence[tuple[Document, LocatedChunk]]) -> None:
        """Embed what the cache does not hold.

        Each part is cached as soon as it is there: a kill loses at most the parts that are under way. Raises
        ServiceError.
        """
        bench, embedder = self._bench, self._bench.embedder
        owners = {chunk.content_hash: document for document, chunk in chunks}
        texts = {chunk.content_hash: chunk.chunk.embedded_text for _, chunk in chunks}
        self.vectors = bench.embedding_cache.get(embedder.model, texts)
        missing = sorted((key for key in texts if key not in self.vectors), key=lambda key: (-len(texts[key]), key))
        self._report.work["chunks_from_cache"] += len(chunks) - len(missing)
        size = embedder.texts_per_call
        parts = [missing[start : start + size] for start in range(0, len(missing), size)]

        async def one(keys: Sequence[str]) -> None:
            # One call serves many documents; its ledger row names the first of them.
            first = owners[keys[0]]
            await self._part({key: texts[key] for key in keys}, AskedFor(first.collection, first.id, Stage.EMBED))

        if parts:
            self._label = part_of_stage(CHUNKS, [document for document, _ in chunks])
            bench.progress.start(self._label, len(missing))
            await each(parts, one, at_once=min(embedder.calls_at_once, bench.options.calls_at_once))
            bench.progress.finish(self._label)

    async def _part(self, texts: Mapping[str, str], asked_for: AskedFor) -> None:
        """One call. If the model rejects it, each half is sent, and so on; only the rejected texts fail."""
        if isinstance(self.waits, BudgetExhausted):  # the next texts would be refused as well
            return
        if len(texts) > self._most:
            await self._halves(texts, asked_for)
            return
        try:
            rows = await self._bench.embedder.embed(list(texts.values()), asked_for)
        except (Deferred, DocumentError) as error:
            await self._without(texts, asked_for, error)
            return
        new = dict(zip(texts, rows, strict=True))
        self._bench.embedding_cache.put(self._bench.embedder.model, new)
        self.vectors.update(new)
        self._report.work["chunks_embedded"] += len(new)
        self._bench.progress.advance(self._label, len(new))

    async def _without(self, texts: Mapping[str, str], asked_for: AskedFor, error: Deferred | DocumentError) -> None:
        """Record that the texts must wait, or find those that the model rejects."""
        if isinstance(error, ModelsUnavailable) and error.perhaps_content:
            error = error.as_failure()
        if isinstance(error, Deferred):
            self.waits = error
        elif len(texts) == 1:
            self.refused.update(dict.fromkeys(texts, error))
            self._report.work["chunks_refused"] += 1
        else:
            await self._halves(texts, asked_for)
            if all(key in self.vectors for key in texts):  # there were only too many of them
                self._most = min(self._most, (len(texts) + 1) // 2)

    async def _halves(self, texts: Mapping[str, str], asked_for: AskedFor) -> None:
        keys, half = list(texts), len(texts) // 2
        for part in (keys[:half], keys[half:]):
            await self._part({key: texts[key] for key in part}, asked_for)


async def embed_chunks(documents: Sequence[Document], bench: Workbench, *, force: bool = False) -> StageReport:
    """Embed stale documents and publish their points. Raises ServiceError when a store is broken.

    force: publish again; texts in the cache are not embedded again.
    """
    with bench.vectors.kept_open():  # opening it takes longer than a window of points, once there are many
        report = await run_batches(Stage.EMBED, documents, bench, _embed, _windows, force=force)
    await asyncio.to_thread(bench.switch_vectors)
    return report


def _windows(todo: Sequence[Work], bench: Workbench) -> list[list[Work]]:
    return smallest_first(todo, most_chunks=bench.options.embed_window_chunks)


async def _embed(works: Sequence[Work], bench: Workbench, report: StageReport) -> dict[DocumentId, Outcome]:
    outcomes: dict[DocumentId, Outcome] = {}
    chunks: dict[DocumentId, list[LocatedChunk]] = {}
    over_limit = refused_for_limits(Stage.EMBED, works, bench)
    for work in works:
        try:
            if work.document.id in over_limit:
                raise over_limit[work.document.id]
            chunks[work.document.id] = [] if work.clear else located_chunks(work, bench)
        except DocumentError as error:
            outcomes[work.document.id] = failed(error)
    embedding = Embedding(bench, report)
    await embedding.embed([(work.document, chunk) for work in works for chunk in chunks.get(work.document.id, [])])
    for work in works:
        if (found := chunks.get(work.document.id)) is not None:
            outcome = upstream_failed() if work.clear else _outcome(found, embedding, bench)
            outcomes[work.document.id] = outcome
    settled = {name for name, outcome in outcomes.items() if name in chunks and _is_settled(outcome)}
    held = bench.catalog.still_held(Stage.EMBED, {work.document.id: work.fingerprint(Stage.EMBED) for work in works})
    published = [work for work in works if work.document.id in settled & held]  # the others keep their points
    points = [
        VectorPoint(chunk, work.document.collection, work.fingerprint(Stage.EMBED), vector)
        for work in published
        for chunk in chunks[work.document.id]
        if (vector := embedding.vectors.get(chunk.content_hash)) is not None
    ]
    fingerprints = {work.document.id: work.fingerprint(Stage.EMBED) for work in published}
    await asyncio.to_thread(bench.vectors.replace_documents, points, fingerprints)
    kept = {work.document.id: work.state.recorded.get(Stage.EMBED) for work in works if work.document.id not in settled}
    return {
        name: keeping_points(outcome, kept[name]) if name in kept else outcome for name, outcome in outcomes.items()
    }


def _is_settled(outcome: Outcome) -> bool:
    """Whether to replace the document's present points; after a permanent failure, by none."""
    passing = outcome.failure is not None and outcome.failure.passing
    return outcome.status in (Status.DONE, Status.SKIPPED) or (outcome.status is Status.FAILED and not passing)


def _outcome(chunks: Sequence[LocatedChunk], embedding: Embedding, bench: Workbench) -> Outcome:
    """How a document ends. A rejected chunk is counted without affecting the others; if none is left, it fails."""
    refused = [error for chunk in chunks if (error := embedding.refused.get(chunk.content_hash)) is not None]
    points = sum(chunk.content_hash in embedding.vectors for chunk in chunks)
    if embedding.waits is not None and points + len(refused) < len(chunks):
        return put_off(embedding.waits)
    if refused and not points:
        return failed(refused[0])
    codes = Counter(error.code for error in refused)
    facts = {"points": points, "model": bench.embedder.model}
    return Outcome(Status.DONE, facts | ({"refused": dict(sorted(codes.items()))} if codes else {}))
