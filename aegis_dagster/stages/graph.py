"""The graph stage: extracts evidence about entities and relations from chunks."""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from aegis_dagster.domain.answers import cut_before_the_first_record
from aegis_dagster.domain.chunks import LocatedChunk
from aegis_dagster.domain.evidence import ChunkEvidence, DocumentEvidence
from aegis_dagster.domain.identifiers import ChunkId, CollectionName, DocumentId
from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.domain.stages import (
    UNREAD_WHY,
    Document,
    Failure,
    Outcome,
    Stage,
    Status,
    failed,
    put_off,
    unread_facts,
)
from aegis_dagster.errors import (
    BudgetExhausted,
    Deferred,
    DocumentError,
    FailureCode,
    ModelsUnavailable,
    OperatorError,
    ServiceError,
)
from aegis_dagster.stages.chunk import located_chunks
from aegis_dagster.stages.concurrency import each
from aegis_dagster.stages.context import StageReport, Workbench, part_of_stage
from aegis_dagster.stages.runner import Work, refused_for_limits, run_batches, smallest_first, upstream_failed

logger = logging.getLogger(__name__)

_Key = tuple[str, str]  # extractor, hash of the text: a confidential collection may have another extractor


class Reading:
    """The evidence in the chunks of one batch of documents, or why it could not be extracted."""

    def __init__(self, bench: Workbench, report: StageReport) -> None:
        self._bench = bench
        self._report = report
        self._found: dict[_Key, ChunkEvidence] = {}
        self._refused: dict[_Key, Deferred | DocumentError] = {}
        self._cut: set[_Key] = set()  # found in part
        self._unsaved: defaultdict[str, dict[str, ChunkEvidence]] = defaultdict(dict)  # by extractor and hash
        self._most_tokens = bench.identities.answer_tokens.get(Stage.GRAPH, 0)
        self._broke: BudgetExhausted | None = None

    async def read(self, chunks: Sequence[tuple[Document, LocatedChunk]], *, anew: Collection[DocumentId] = ()) -> None:
        """Read every text once. Raises ServiceError and OperatorError; evidence read before that is cached.

        anew: documents about whose chunks that were cut is asked again.
        """
        texts: dict[_Key, tuple[Document, str]] = {}
        ask_again: set[_Key] = set()
        for document, chunk in chunks:
            key = (self._bench.extractor(document.collection).name, chunk.content_hash)
            texts.setdefault(key, (document, chunk.chunk.embedded_text))
            if document.id in anew:
                ask_again.add(key)
        self._look_up(texts, ask_again)
        missing = [key for key in texts if key not in self._found and key not in self._refused]
        label = part_of_stage("chunks read", [document for document, _ in chunks])

        async def one(key: _Key) -> None:
            await answer(key)
            self._bench.progress.advance(label)

        async def answer(key: _Key) -> None:
            document, text = texts[key]
            if self._broke is not None:  # the other texts would be refused as well
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
                if isinstance(error, DocumentError) and error.code is FailureCode.CUT:
                    self._remember_cut(key, ChunkEvidence())
                return
            except Exception as error:  # a bug that one chunk triggers must not affect other documents
                logger.error("A chunk of %s could not be read: %s", document.id, type(error).__name__)
                failure = Failure.of(error)
                self._refused[key] = DocumentError(failure.code, failure.message, remedy=failure.remedy)
                return
            self._found[key] = done.evidence
            if done.cut:
                self._cut.add(key)
                self._remember_cut(key, done.evidence)
            elif done.free:
                self._unsaved[done.extracted_by][key[1]] = done.evidence
            else:  # paid for: no kill may lose it
                self._bench.extraction_cache.put(done.extracted_by, {key[1]: done.evidence})
            self._report.work["chunks_extracted"] += 1

        if missing:
            self._bench.progress.start(label, len(missing))
            try:
                await each(missing, one, at_once=self._bench.options.calls_at_once)
            finally:
                for extractor, evidence in self._unsaved.items():
                    self._bench.extraction_cache.put(extractor, evidence)
                self._unsaved.clear()
            self._bench.progress.finish(label)

    def outcome(
        self, collection: CollectionName, chunks: Sequence[LocatedChunk]
    ) -> tuple[Outcome, list[tuple[ChunkId, ChunkEvidence]]]:
        """How a document with these chunks ends, and its evidence.

        A chunk that must wait defers the document. One that could not be read, or only in part, is counted and does not
        affect the others; a document fails if none of its chunks could be read.
        """
        name = self._bench.extractor(collection).name
        refused = [error for chunk in chunks if (error := self._refused.get((name, chunk.content_hash)))]
        for error in refused:
            if isinstance(error, Deferred):
                return put_off(error), []
        codes: Counter[str] = Counter(error.code for error in refused if isinstance(error, DocumentError))
        codes[FailureCode.CUT] += sum((name, chunk.content_hash) in self._cut for chunk in chunks)
        self._report.work["chunks_unread"] += codes.total()
        why = {error.code: error.message for error in reversed(refused) if isinstance(error, DocumentError)}
        not_whole = unread_facts(codes, self._bench.identities.answer_tokens.get(Stage.GRAPH, 0))
        if chunks and len(refused) == len(chunks):
            return Outcome(Status.FAILED, not_whole, failure=_nothing_read(codes, why)), []
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
        if why:
            not_whole[UNREAD_WHY] = dict(sorted(why.items()))
        return Outcome(Status.DONE, facts | not_whole), evidence

    def _remember_cut(self, key: _Key, evidence: ChunkEvidence) -> None:
        self._bench.extraction_cache.put_cut(*key, evidence, self._most_tokens)

    def _look_up(self, texts: dict[_Key, tuple[Document, str]], ask_again: Collection[_Key]) -> None:
        by_extractor: dict[str, CollectionName] = {name: doc.collection for (name, _), (doc, _) in texts.items()}
        cache = self._bench.extraction_cache
        for name, collection in by_extractor.items():
            accepted = self._bench.extractor(collection).accepted
            hashes = [text_hash for extractor, text_hash in texts if extractor == name]
            known = cache.get(accepted, hashes)
            self._found.update({(name, text_hash): evidence for text_hash, evidence in known.items()})
            left = [each for each in hashes if each not in known and (name, each) not in ask_again]
            for text_hash, evidence in cache.get_cut(name, left, self._most_tokens).items():
                if evidence.mentions:
                    self._found[name, text_hash] = evidence
                    self._cut.add((name, text_hash))
                else:
                    self._refused[name, text_hash] = cut_before_the_first_record()


def _nothing_read(codes: Counter[str], why: Mapping[FailureCode, str]) -> Failure:
    counts = ", ".join(f"{count} {code}" for code, count in sorted(codes.items()) if count)
    more_room = "raise graph.max_answer_tokens, or the context length of a local model; then run `aegis ingest`."
    another = "`aegis costs --failed` shows how its calls ended; try another model, then `aegis retry`."
    return Failure(
        FailureCode.EXTRACTION_FAILED,
        f"No chunk could be read by the model: {counts}. {' '.join(dict.fromkeys(why.values()))}".rstrip(),
        more_room if codes[FailureCode.CUT] else another,
        retryable=set(+codes) != {FailureCode.CUT},  # the same question would be cut again
    )


async def extract_graph(documents: Sequence[Document], bench: Workbench, *, force: bool = False) -> StageReport:
    """Extract evidence from stale documents. Raises ServiceError when a store or the extractor is broken.

    force: write the evidence again; evidence in the cache is not extracted again.
    """
    return await run_batches(Stage.GRAPH, documents, bench, _extract, _batches, force=force)


def _batches(todo: Sequence[Work], bench: Workbench) -> list[list[Work]]:
    options = bench.options
    return smallest_first(todo, most_chunks=options.embed_window_chunks, most_documents=options.graph_batch_documents)


async def _extract(works: Sequence[Work], bench: Workbench, report: StageReport) -> dict[DocumentId, Outcome]:
    outcomes: dict[DocumentId, Outcome] = {}
    chunks: dict[DocumentId, list[LocatedChunk]] = {}
    over_limit = refused_for_limits(Stage.GRAPH, works, bench)
    for work in works:
        document_id = work.document.id
        if work.clear:
            outcomes[document_id] = upstream_failed()
        elif not bench.identities.rules_for(work.document.collection).graph:
            outcomes[document_id] = Outcome(Status.SKIPPED, {"why": "the graph is off for this collection"})
        elif document_id in over_limit:
            outcomes[document_id] = failed(over_limit[document_id])
        else:
            try:
                chunks[document_id] = located_chunks(work, bench)
            except DocumentError as error:
                outcomes[document_id] = failed(error)
    reading = Reading(bench, report)
    await reading.read(
        [(work.document, chunk) for work in works for chunk in chunks.get(work.document.id, [])],
        anew={work.document.id for work in works if work.asked or work.state.was_reset_unread(Stage.GRAPH)},
    )
    said: list[DocumentEvidence] = []
    for work in works:
        document_id = work.document.id
        if document_id in chunks:
            outcomes[document_id], evidence = reading.outcome(work.document.collection, chunks[document_id])
            if outcomes[document_id].status is Status.DONE:
                said.append(DocumentEvidence(document_id, work.fingerprint(Stage.GRAPH), evidence))
    held = bench.catalog.still_held(Stage.GRAPH, {work.document.id: work.fingerprint(Stage.GRAPH) for work in works})
    silent = [document_id for document_id in held if _is_silent(outcomes[document_id])]
    await asyncio.to_thread(bench.evidence.replace_documents, [item for item in said if item.document_id in held])
    await asyncio.to_thread(bench.evidence.delete_documents, silent)
    return outcomes


def _is_silent(outcome: Outcome) -> bool:
    """Whether a document's evidence is removed; after a temporary failure it is kept."""
    passing = outcome.status is Status.DEFERRED or (outcome.failure is not None and outcome.failure.passing)
    return outcome.status is not Status.DONE and not passing
