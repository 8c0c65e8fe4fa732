"""The listing of the watched root, and its differences from the catalog."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from aegis_dagster.domain.identifiers import NO_MAIL, DocumentId, Revision, collection_of
from aegis_dagster.domain.stages import Document


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A document of the catalog."""

    revision: Revision
    stamp: str
    size_bytes: int = 0
    mail: DocumentId = NO_MAIL  # the outermost mail that it is attached to
    context: str = ""  # subjects of the mails it comes with, outermost first, one a line


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file of a scan, or a document attached to one. `stamp` changes whenever the bytes may have.

    It holds size, times, inode, ETag; of an attached document, the revision of its mail.
    """

    revision: Revision
    stamp: str
    size_bytes: int
    mail: DocumentId = NO_MAIL
    context: str = ""

    def document(self, document_id: DocumentId) -> Document:
        """What the catalog has of it. An attached document lies in its mail's collection."""
        collection, suffix = collection_of(self.mail or document_id), PurePosixPath(document_id).suffix.lower()
        return Document(document_id, collection, self.revision, self.size_bytes, suffix, self.mail, self.context)


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A path that was seen but is not a document now, and why."""

    path: str  # ends with "/" for a folder with everything below it
    reason: str  # "unreadable", "still_growing", "link_leaves_root", "link_leaves_collection", "bad_name", ...
    remedy: str
    keeps_document: bool  # a document known under this path is kept as it is

    def to_json(self) -> dict[str, str]:
        """The JSON values shown to people."""
        return {"path": self.path, "reason": self.reason, "remedy": self.remedy}


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything that one scan saw below `scope` ("" is the whole root)."""

    files: Mapping[DocumentId, SeenFile]
    passed_over: tuple[PassedOver, ...] = ()
    ignored: int = 0  # hidden and temporary names
    unread: frozenset[DocumentId] = frozenset()  # new or changed files left for the next scan, because time was up


@dataclass(frozen=True, slots=True)
class ListingDiff:
    """What changed since the catalog was last brought up to date."""

    new: tuple[DocumentId, ...]
    changed: tuple[DocumentId, ...]
    touched: tuple[DocumentId, ...]  # new stamp, same bytes
    moved: tuple[tuple[DocumentId, DocumentId], ...]  # (from, to); `to` is in neither `new` nor `changed`
    deleted: tuple[DocumentId, ...]
    unchanged: int


def diff_listing(listing: Listing, known: Mapping[DocumentId, KnownFile]) -> ListingDiff:
    """Compare a scan with the documents known below the same scope.

    A known document that was passed over for a temporary reason, or not read yet, is neither changed nor deleted. A
    deleted and a new document with the same bytes are a move; several candidates are paired in the order of paths.
    """
    kept = {item.path for item in listing.passed_over if item.keeps_document} | listing.unread
    kept_folders = tuple(path for path in kept if path.endswith("/"))
    new = sorted(path for path in listing.files if path not in known)
    gone = sorted(
        path for path in known if path not in listing.files and path not in kept and not path.startswith(kept_folders)
    )
    changed: list[DocumentId] = []
    touched: list[DocumentId] = []
    for path, seen in listing.files.items():
        before = known.get(path)
        if before is None or (before.stamp, before.revision) == (seen.stamp, seen.revision):
            continue
        # The stamp may be equal: a file that was too large to read under an earlier limit.
        (touched if before.revision == seen.revision else changed).append(path)
    moved = _pair_moves([*new, *sorted(changed)], gone, listing.files, known)
    sources, targets = {source for source, _ in moved}, {target for _, target in moved}
    return ListingDiff(
        new=tuple(path for path in new if path not in targets),
        changed=tuple(path for path in sorted(changed) if path not in targets),
        touched=tuple(sorted(touched)),
        moved=tuple(moved),
        deleted=tuple(path for path in gone if path not in sources),
        unchanged=len(listing.files) - len(new) - len(changed) - len(touched),
    )


def deletions_need_confirmation(
    deleted: Collection[DocumentId], known: int, *, max_share: float, max_count: int
) -> bool:
    """Whether so many documents are gone at once (more than both limits) that the folder may be unmounted."""
    return len(deleted) > max_count and len(deleted) > max_share * known


def everything_is_gone(listing: Listing, diff: ListingDiff, known: int) -> bool:
    """Whether no document is left, however few there were: an empty bucket or an unmounted folder looks like this."""
    return not listing.files and not listing.unread and 0 < known == len(diff.deleted)


def _pair_moves(
    new: list[DocumentId],
    gone: list[DocumentId],
    seen: Mapping[DocumentId, SeenFile],
    known: Mapping[DocumentId, KnownFile],
) -> list[tuple[DocumentId, DocumentId]]:
    sources: dict[Revision, list[DocumentId]] = defaultdict(list)
    for path in reversed(gone):
        sources[known[path].revision].append(path)
    moves = []
    for path in new:
        candidates = sources.get(seen[path].revision)
        if candidates:
            moves.append((candidates.pop(), path))
    return moves
