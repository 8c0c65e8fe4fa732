"""Having the chunks of many documents read: equal texts once, side by side, each failure its own.

Belongs here: the cache, what a document's outcome is when some of its chunks could not be read.
Does not belong here: finding entities (`EvidenceExtractor`), batches and stores (`graph.py`).
"""

import logging
from collections import Counter
from collections.abc import Sequence

from aegis_dagster.domain.chunks import LocatedChunk
from aegis_dagster.domain.evidence import ChunkEvidence
from aegis_dagster.domain.identifiers import ChunkId, CollectionName
from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.domain.stages import Document, Failure, Outcome, Stage, Status, put_off
from aegis_dagster.errors import (
    BudgetExhausted,
    Deferred,
    DocumentError,
    FailureCode,
    ModelsUnavailable,
    OperatorError,
    ServiceError,
)
from aegis_dagster.stages.report import StageReport
from aegis_dagster.stages.side_by_side import each
from aegis_dagster.stages.workbench import Workbench

logger = logging.getLogger(__name__)

_Key = tuple[str, str]  # extractor, hash of the text: a confidential collection may have another extractor


class Reading:
    """What the chunks of one batch of documents say, or why that is not known."""

    def __init__(self, bench: Workbench, report: StageReport) -> None:
        self._bench = bench
        self._report = report
        self._found: dict[_Key, ChunkEvidence] = {}
        self._refused: dict[_Key, Deferred | DocumentError] = {}
        self._broke: BudgetExhausted | None = None

    async def read(self, chunks: Sequence[tuple[Document, LocatedChunk]]) -> None:
        """Read every text once. Raises ServiceError and OperatorError; what was read until then is cached."""
        texts: dict[_Key, tuple[Document, str]] = {}
        for document, chunk in chunks:
            key = (self._bench.extractor(document.collection).name, chunk.content_hash)
            texts.setdefault(key, (document, chunk.chunk.embedded_text))
        self._look_up(texts)
        missing = [key for key in texts if key not in self._found]

        async def one(key: _Key) -> None:
            document, text = texts[key]
            if self._broke is not None:  # the others cost as much
                self._refused[key] = self._broke
                return
            extractor = self._bench.extractor(document.collection)
            try:
                done = await extractor.extract(text, AskedFor(document.collection, document.id, Stage.GRAPH))
            except (ServiceError, OperatorError):
                raise
            except (Deferred, DocumentError) as error:
                if isinstance(error, ModelsUnavailable) and error.perhaps_content:
                    self._refused[key] = error.as_failure()
                    return
                self._refused[key] = error
                self._broke = error if isinstance(error, BudgetExhausted) else None
                return
            except Exception as error:  # a defect met in one chunk costs the other documents nothing
                logger.error("A chunk of %s could not be read: %s", document.id, type(error).__name__)
                failure = Failure.of(error)
                self._refused[key] = DocumentError(failure.code, failure.message, remedy=failure.remedy)
                return
            self._found[key] = done.evidence
            self._bench.extraction_cache.put(done.extracted_by, {key[1]: done.evidence})
            self._report.work["chunks_extracted"] += 1

        await each(missing, one, at_once=self._bench.options.calls_at_once)

    def outcome(
        self, collection: CollectionName, chunks: Sequence[LocatedChunk]
    ) -> tuple[Outcome, list[tuple[ChunkId, ChunkEvidence]]]:
        """How a document with these chunks ends, and its evidence.

        A chunk that had to wait puts the document off. One that could not be read is counted and costs the others
        nothing; a document none of whose chunks could be read has failed.
        """
        name = self._bench.extractor(collection).name
        refused = [error for chunk in chunks if (error := self._refused.get((name, chunk.content_hash)))]
        for error in refused:
            if isinstance(error, Deferred):
                return put_off(error), []
        codes = Counter(error.code for error in refused if isinstance(error, DocumentError))
        self._report.work["chunks_unread"] += codes.total()
        if chunks and codes.total() == len(chunks):
            return Outcome(Status.FAILED, failure=_nothing_read(codes)), []
        evidence = [
            (chunk.id, self._found[name, chunk.content_hash])
            for chunk in chunks
            if (name, chunk.content_hash) in self._found
        ]
        facts: dict[str, object] = {
            "chunks": len(chunks),
            "mentions": sum(len(found.mentions) for _, found in evidence),
            "relations": sum(len(found.relations) for _, found in evidence),
        }
        return Outcome(Status.DONE, facts | ({"unread": dict(sorted(codes.items()))} if codes else {})), evidence

    def _look_up(self, texts: dict[_Key, tuple[Document, str]]) -> None:
        by_extractor: dict[str, CollectionName] = {name: doc.collection for (name, _), (doc, _) in texts.items()}
        for name, collection in by_extractor.items():
            accepted = self._bench.extractor(collection).accepted
            hashes = [text_hash for extractor, text_hash in texts if extractor == name]
            known = self._bench.extraction_cache.get(accepted, hashes)
            self._found.update({(name, text_hash): evidence for text_hash, evidence in known.items()})


def _nothing_read(codes: Counter[FailureCode]) -> Failure:
    why = ", ".join(f"{count} {code}" for code, count in sorted(codes.items()))
    return Failure(
        FailureCode.EXTRACTION_FAILED,
        f"No chunk could be read by the model: {why}.",
        "`aegis costs --by model` shows how its calls ended; try another model, then `aegis retry`.",
        retryable=True,
    )
