"""Having the texts of many chunks embedded: each text once, a few a call, each failure its own.

Belongs here: the cache, calls side by side, what waits and what the model turned down.
Does not belong here: the model (`Embedder`), windows of documents and the store (`embed.py`).
"""

from collections.abc import Mapping, Sequence

from aegis_dagster.domain.chunks import LocatedChunk
from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.domain.stages import Document, Stage
from aegis_dagster.errors import BudgetExhausted, Deferred, DocumentError, ModelsUnavailable
from aegis_dagster.ports import Vectors
from aegis_dagster.stages.report import StageReport
from aegis_dagster.stages.side_by_side import each
from aegis_dagster.stages.workbench import Workbench

CHUNKS = "chunk vectors"  # label of the progress that counts chunks


class Embedding:
    """The vectors of a window of documents, by text hash."""

    def __init__(self, bench: Workbench, report: StageReport) -> None:
        self._bench = bench
        self._report = report
        self.vectors: dict[str, Vectors] = {}
        self.refused: dict[str, DocumentError] = {}  # the model does not take these texts
        self.waits: Deferred | None = None  # set: what has neither vector nor error has to wait

    async def embed(self, chunks: Sequence[tuple[Document, LocatedChunk]]) -> None:
        """Embed what the cache does not hold. Raises ServiceError; what was embedded until then is cached."""
        bench, embedder = self._bench, self._bench.embedder
        owners = {chunk.content_hash: document for document, chunk in chunks}
        texts = {chunk.content_hash: chunk.chunk.embedded_text for _, chunk in chunks}
        self.vectors = bench.embedding_cache.get(embedder.model, texts)
        missing = sorted((key for key in texts if key not in self.vectors), key=lambda key: (-len(texts[key]), key))
        self._report.work["chunks_from_cache"] += len(chunks) - len(missing)
        size = embedder.texts_per_call
        parts = [missing[start : start + size] for start in range(0, len(missing), size)]

        async def one(keys: Sequence[str]) -> None:
            # One call serves many documents; its ledger row carries the first of them.
            first = owners[keys[0]]
            await self._part({key: texts[key] for key in keys}, AskedFor(first.collection, first.id, Stage.EMBED))

        if parts:
            bench.progress.start(CHUNKS, len(missing))
            await each(parts, one, at_once=min(embedder.calls_at_once, bench.options.calls_at_once))
            bench.progress.finish(CHUNKS)

    async def _part(self, texts: Mapping[str, str], asked_for: AskedFor) -> None:
        """One call. A text that the model turns down is found by asking one by one; the others are embedded."""
        if isinstance(self.waits, BudgetExhausted):  # the next texts cost as much
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
        self._bench.progress.advance(CHUNKS, len(new))

    async def _without(self, texts: Mapping[str, str], asked_for: AskedFor, error: Deferred | DocumentError) -> None:
        """Wait, or find the texts that the model cannot stand."""
        if isinstance(error, ModelsUnavailable) and error.perhaps_content:
            error = error.as_failure()
        if isinstance(error, Deferred):
            self.waits = error
        elif len(texts) == 1:
            self.refused.update(dict.fromkeys(texts, error))
            self._report.work["chunks_refused"] += 1
        else:
            for key, text in texts.items():
                await self._part({key: text}, asked_for)
