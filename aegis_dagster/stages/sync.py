"""Keeping the catalog in line with the watched root, and the stores in line with the catalog."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.listing import (
    KnownFile,
    Listing,
    ListingDiff,
    PassedOver,
    deletions_need_confirmation,
    diff_listing,
    everything_is_gone,
)
from aegis_dagster.ports import DocumentList, DocumentSource


@dataclass(frozen=True, slots=True)
class DeletionGuard:
    """When deletions are held: more than both limits at once, unless somebody confirmed them."""

    max_share: float
    max_count: int
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class ListingReport:
    """What a scan found and what was done about it."""

    listing: Listing
    diff: ListingDiff
    deletions_held: int  # documents that are gone from the root but kept until somebody confirms
    everything_gone: bool = False
    undecided: bool = False  # whether deletions are held depends on files that are not read yet: moves, perhaps

    @property
    def passed_over(self) -> tuple[PassedOver, ...]:
        """What was seen and is no document now."""
        return self.listing.passed_over

    @property
    def ignored(self) -> int:
        """Hidden and temporary names."""
        return self.listing.ignored

    @property
    def unread(self) -> int:
        """New or changed files that time did not suffice for."""
        return len(self.listing.unread)

    @property
    def held_message(self) -> str:
        """What is held and how to go on; "" when nothing is."""
        if not self.deletions_held:
            return ""
        held = f"At least {self.deletions_held}" if self.unread else str(self.deletions_held)
        what = (
            f"The watched root is empty, and {self.deletions_held} documents were in it; they are kept for now."
            if self.everything_gone
            else f"{held} documents are gone from the watched root at once; they are kept for now."
        )
        return f"{what} Remedy: if the root is mounted and complete, run `aegis ingest --confirm-deletions`."


def update_listing(
    source: DocumentSource,
    documents: DocumentList,
    guard: DeletionGuard,
    scope: str = "",
    *,
    read_seconds: float | None = None,
) -> ListingReport:
    """Scan below `scope` and bring the catalog's list up to date. Raises RootUnreadable.

    read_seconds: how long to read new files. While some are unread, nothing is deleted: what is gone from one path
    may be the unread file at another.
    """
    known = documents.known(scope)
    report = compare(source.scan(known, scope, read_seconds=read_seconds), known, guard, scope)
    documents.apply(report.listing, report.diff, delete=not (report.deletions_held or report.unread), scope=scope)
    return report


def compare(
    listing: Listing, known: Mapping[DocumentId, KnownFile], guard: DeletionGuard, scope: str = ""
) -> ListingReport:
    """What a scan found, and whether its deletions are held; changes nothing.

    Each unread file may be one that is gone, moved: what is held even then is held, and what would be held only if
    none of them is, is undecided.
    """
    diff = diff_listing(listing, known)
    gone = not scope and everything_is_gone(listing, diff, len(known))
    certain = diff.deleted[len(listing.unread) :]

    def many(deleted: Collection[DocumentId]) -> bool:
        return deletions_need_confirmation(deleted, len(known), max_share=guard.max_share, max_count=guard.max_count)

    held = len(certain) if (gone or many(certain)) and not guard.confirmed else 0
    undecided = not held and not guard.confirmed and bool(listing.unread) and many(diff.deleted)
    return ListingReport(listing, diff, held, everything_gone=gone, undecided=undecided)
