"""Keeping the catalog in line with the watched root, and the stores in line with the catalog.

Belongs here: applying a listing with its guard, removing every trace of deleted documents, sweeping
artifacts that nobody uses.
Does not belong here: scanning (`DocumentSource`), the diff itself (`domain/listing.py`).
"""

import asyncio
from dataclasses import dataclass

from aegis_dagster.domain.listing import ListingDiff, PassedOver, deletions_need_confirmation, diff_listing
from aegis_dagster.domain.stages import Stage
from aegis_dagster.ports import Artifacts, Catalog, DocumentList, DocumentSource
from aegis_dagster.stages.workbench import Workbench

_REMOVED_AT_ONCE = 200  # documents; a transaction over thousands would keep other writers waiting too long


@dataclass(frozen=True, slots=True)
class DeletionGuard:
    """When deletions are held: more than both limits at once, unless somebody confirmed them."""

    max_share: float
    max_count: int
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class ListingReport:
    """What a scan found and what was done about it."""

    diff: ListingDiff
    passed_over: tuple[PassedOver, ...]
    ignored: int
    deletions_held: int  # documents that are gone from the root but kept until somebody confirms

    @property
    def held_message(self) -> str:
        """What is held and how to go on; "" when nothing is."""
        if not self.deletions_held:
            return ""
        return (
            f"{self.deletions_held} documents are gone from the watched root at once; they are kept for now. "
            "Remedy: if the root is mounted and complete, run `aegis ingest --confirm-deletions`."
        )


def update_listing(
    source: DocumentSource, documents: DocumentList, guard: DeletionGuard, scope: str = ""
) -> ListingReport:
    """Scan below `scope` and bring the catalog's list up to date. Raises RootUnreadable."""
    known = documents.known(scope)
    listing = source.scan(known, scope)
    diff = diff_listing(listing, known)
    held = not guard.confirmed and deletions_need_confirmation(
        diff.deleted, len(known), max_share=guard.max_share, max_count=guard.max_count
    )
    documents.apply(listing, diff, delete=not held, scope=scope)
    return ListingReport(diff, listing.passed_over, listing.ignored, len(diff.deleted) if held else 0)


async def tidy_up(documents: DocumentList, bench: Workbench) -> int:
    """Notice a lost vector store; remove points, evidence and rows of deleted documents.

    Their artifacts stay until `sweep_artifacts`: a document that was renamed may still want them.

    Killed anywhere, the next call goes on: a document is forgotten last. Returns how many were removed.
    Raises ServiceError when a store is broken.
    """
    if not bench.vectors.exists():  # somebody deleted it, or it never was: published again, from the cache
        bench.catalog.reset_stage(Stage.EMBED)
    removed = 0
    while gone := bench.catalog.claim_deleted(limit=_REMOVED_AT_ONCE):
        try:
            await asyncio.to_thread(bench.vectors.delete_documents, gone)
            await asyncio.to_thread(bench.evidence.delete_documents, gone)
            documents.forget(gone)
        finally:  # of those that came back meanwhile, or of all when a store is broken
            for stage in (Stage.EMBED, Stage.GRAPH):
                bench.catalog.release(stage, gone)
        removed += len(gone)
    return removed


def sweep_artifacts(catalog: Catalog, artifacts: Artifacts, only: Stage | None = None) -> int:
    """Delete the artifacts (of one stage) that no document uses any more. Returns how many."""
    return sum(
        catalog.sweep(stage, fingerprint, artifacts.delete)
        for stage, fingerprint in catalog.garbage()
        if only in (None, stage)
    )
