"""Brings the catalog in line with the watched root."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.listing import (
    KnownFile,
    Listing,
    ListingDiff,
    PassedOver,
    attached_to_mails,
    deletions_need_confirmation,
    diff_listing,
    everything_is_gone,
)
from aegis_dagster.ports import DocumentList, DocumentSource


@dataclass(frozen=True, slots=True)
class DeletionGuard:
    """Decides when deletions are held: if they exceed both limits at once and are not confirmed."""

    max_share: float
    max_count: int
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class ListingReport:
    """What a scan found and how it was applied."""

    listing: Listing
    diff: ListingDiff
    deletions_held: int  # documents gone from the root but kept until an operator confirms
    everything_gone: bool = False
    undecided: bool = False  # whether deletions are held depends on unread files, which may be moved documents

    @property
    def passed_over(self) -> tuple[PassedOver, ...]:
        """Paths that were seen but are not documents now."""
        return self.listing.passed_over

    @property
    def ignored(self) -> int:
        """How many hidden and temporary names there were."""
        return self.listing.ignored

    @property
    def unread(self) -> int:
        """How many new or changed files were left unread because time was up."""
        return len(self.listing.unread)

    @property
    def held_message(self) -> str:
        """Which deletions are held and what to do about them; "" when none are."""
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

    read_seconds: how long to read new files. While some are unread, nothing is deleted: a file gone from one path may
    be the unread file at another.
    """
    known = documents.known(scope)
    report = compare(source.scan(known, scope, read_seconds=read_seconds), known, guard, scope)
    documents.apply(report.listing, report.diff, delete=not (report.deletions_held or report.unread), scope=scope)
    return report


def compare(
    listing: Listing, known: Mapping[DocumentId, KnownFile], guard: DeletionGuard, scope: str = ""
) -> ListingReport:
    """What a scan found, and whether its deletions are held; changes nothing.

    Each unread file may be a missing document that was moved. Deletions are held if they exceed the limits even then;
    if they exceed them only when no unread file was moved, `undecided` is set.
    """
    diff = diff_listing(listing, known)
    gone = not scope and everything_is_gone(listing, diff, len(known))
    files = len(known) - sum(map(len, attached_to_mails(known).values()))  # what is attached to a mail goes with it
    deleted = [name for name in diff.deleted if not known[name].mail]
    certain = deleted[len(listing.unread) :]

    def many(deleted: Collection[DocumentId]) -> bool:
        return deletions_need_confirmation(deleted, files, max_share=guard.max_share, max_count=guard.max_count)

    held = len(certain) if (gone or many(certain)) and not guard.confirmed else 0
    undecided = not held and not guard.confirmed and bool(listing.unread) and many(deleted)
    return ListingReport(listing, diff, held, everything_gone=gone, undecided=undecided)
