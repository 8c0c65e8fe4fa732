"""Removes what deleted documents left in the stores, and artifacts that no document uses any more."""

import asyncio

from aegis_dagster.domain.stages import Stage
from aegis_dagster.ports import Artifacts, Catalog, DocumentList
from aegis_dagster.stages.context import Workbench

_REMOVED_AT_ONCE = 1000  # documents: the vector store is opened for each thousand
_AT_ONCE = 200  # documents or artifacts; one transaction over thousands would block other writers for too long


async def tidy_up(documents: DocumentList, bench: Workbench) -> int:
    """Detect a lost vector store; remove the points, evidence and rows of deleted documents.

    Their artifacts stay until `sweep_artifacts`: a renamed document may still need them.

    If it is killed, the next call continues: a document's row is removed last. Returns how many were removed.
    Raises ServiceError when a store is broken.
    """
    if not bench.vectors.exists():  # deleted or never made: publish again, from the cache
        bench.catalog.reset_stage(Stage.EMBED)
    removed = 0
    while gone := bench.catalog.claim_deleted(limit=_REMOVED_AT_ONCE):
        try:
            await asyncio.to_thread(bench.vectors.delete_documents, gone)
            for start in range(0, len(gone), _AT_ONCE):
                part = gone[start : start + _AT_ONCE]
                await asyncio.to_thread(bench.evidence.delete_documents, part)
                documents.forget(part)
        finally:  # for documents that came back meanwhile, or all of them if a store is broken
            for stage in (Stage.EMBED, Stage.GRAPH):
                bench.catalog.release(stage, gone)
        removed += len(gone)
    return removed


def sweep_artifacts(catalog: Catalog, artifacts: Artifacts, only: Stage | None = None) -> int:
    """Delete the artifacts (of one stage) that no document uses any more. Returns how many."""
    garbage = [artifact for artifact in catalog.garbage() if only in (None, artifact[0])]
    parts = [garbage[start : start + _AT_ONCE] for start in range(0, len(garbage), _AT_ONCE)]
    swept = 0
    for part in parts:
        swept += catalog.sweep(part, artifacts.withdraw)
        artifacts.remove_withdrawn()
    return swept
