"""The graph stage: chunks become evidence about entities and relations.

Belongs here: batches of documents, replacing a document's evidence.
Does not belong here: having chunks read (`chunk_reading.py`), aggregating evidence (`EvidenceStore`).
"""

import asyncio
from collections.abc import Sequence

from aegis_dagster.domain.chunks import LocatedChunk
from aegis_dagster.domain.evidence import DocumentEvidence
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import Document, Failure, Outcome, Stage, Status
from aegis_dagster.errors import DocumentError
from aegis_dagster.stages.chunk import located_chunks
from aegis_dagster.stages.chunk_reading import Reading
from aegis_dagster.stages.report import StageReport
from aegis_dagster.stages.runner import Work, run_batches, upstream_failed
from aegis_dagster.stages.workbench import Workbench


async def extract_graph(documents: Sequence[Document], bench: Workbench, *, force: bool = False) -> StageReport:
    """Extract evidence from what is stale. Raises ServiceError when a store or the extractor is broken.

    force writes the evidence again; it does not extract again what the cache holds.
    """
    return await run_batches(Stage.GRAPH, documents, bench, _extract, _batches, force=force)


def _batches(todo: Sequence[Work], bench: Workbench) -> list[list[Work]]:
    size = bench.options.graph_batch_documents
    return [list(todo[start : start + size]) for start in range(0, len(todo), size)]


async def _extract(works: Sequence[Work], bench: Workbench, report: StageReport) -> dict[DocumentId, Outcome]:
    outcomes: dict[DocumentId, Outcome] = {}
    chunks: dict[DocumentId, list[LocatedChunk]] = {}
    for work in works:
        document_id = work.document.id
        if work.clear:
            outcomes[document_id] = upstream_failed()
        elif not bench.identities.rules_for(work.document.collection).graph:
            outcomes[document_id] = Outcome(Status.SKIPPED, {"why": "the graph is off for this collection"})
        else:
            try:
                chunks[document_id] = located_chunks(work, bench)
            except DocumentError as error:
                outcomes[document_id] = Outcome(Status.FAILED, failure=Failure.of(error))
    reading = Reading(bench, report)
    await reading.read([(work.document, chunk) for work in works for chunk in chunks.get(work.document.id, [])])
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
    """Whether a document has nothing to say now; one that failed for a passing reason keeps what it said."""
    passing = outcome.status is Status.DEFERRED or (outcome.failure is not None and outcome.failure.retryable)
    return outcome.status is not Status.DONE and not passing
