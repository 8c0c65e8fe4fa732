"""The listing of the watched root, and its differences from the catalog.

There may be a million files, and objects for each would take a gigabyte. So a known file is some bytes, and of one that
a scan finds as it is known nothing more is kept.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from aegis_dagster.domain.identifiers import NO_MAIL, DocumentId, Revision, collection_of
from aegis_dagster.domain.stages import Document

_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A document of the catalog."""

    revision: Revision
    stamp: str
    size_bytes: int = 0
    mail: DocumentId = NO_MAIL  # the outermost mail that it is attached to
    context: str = ""  # subjects of the mails it comes with, outermost first, one a line

    def seen(self) -> "SeenFile":
        """The file as a scan sees it that finds it unchanged."""
        return SeenFile(self.revision, self.stamp, self.size_bytes, self.mail, self.context)


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


class KnownFiles(Mapping[DocumentId, KnownFile]):
    """Known files, each made when somebody asks for it."""

    def __init__(self) -> None:
        self._packed: dict[DocumentId, bytes] = {}
        self._attached: dict[DocumentId, list[DocumentId]] = {}

    @property
    def attached(self) -> Mapping[DocumentId, list[DocumentId]]:
        """The documents that are attached to mails, by the mail."""
        return self._attached

    def add(self, document_id: DocumentId, revision: str, stamp: str, size_bytes: int, mail: str, context: str) -> None:
        """Add a file."""
        self._packed[document_id] = _packed(revision, f"{stamp}\0{size_bytes}\0{mail}\0{context}")
        if mail:
            self._attached.setdefault(DocumentId(mail), []).append(document_id)

    def has(self, document_id: DocumentId, stamp: str) -> bool:
        """Whether a file is known by its hash, with this stamp. Ten times as fast as to make the file and compare."""
        packed = self._packed.get(document_id)
        return packed is not None and packed[0] == 0 and packed.startswith(f"{stamp}\0".encode(), 1 + _HASH_BYTES)

    def __getitem__(self, document_id: DocumentId) -> KnownFile:
        return _unpacked(self._packed[document_id])

    def __contains__(self, document_id: object) -> bool:
        return document_id in self._packed

    def __iter__(self) -> Iterator[DocumentId]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


class SeenFiles(MutableMapping[DocumentId, SeenFile]):
    """What a scan saw. Files that are as they are known are not kept: it is only noted which of the known are left."""

    def __init__(self, known: Mapping[DocumentId, KnownFile]) -> None:
        self.known = known
        self.left: dict[DocumentId, None] = dict.fromkeys(known)  # known files that were not seen as they are known
        self.others: dict[DocumentId, SeenFile] = {}  # what was seen otherwise, or is not known

    def has(self, document_id: DocumentId, stamp: str) -> bool:
        """Whether a file is known by its hash, with this stamp; False also where only a closer look can tell."""
        return isinstance(self.known, KnownFiles) and self.known.has(document_id, stamp)

    def as_known(self, document_id: DocumentId) -> None:
        """A known file was seen as it is known."""
        self.left.pop(document_id, None)

    def among(self, known: Mapping[DocumentId, KnownFile], unseen: Collection[DocumentId]) -> "SeenFiles":
        """The same among more known files, which a scan of a part did not look for: unseen."""
        self.known = known
        self.left.update(dict.fromkeys(unseen))
        return self

    def __getitem__(self, document_id: DocumentId) -> SeenFile:
        other = self.others.get(document_id)
        if other is not None:
            return other
        if document_id in self.left:
            raise KeyError(document_id)
        return self.known[document_id].seen()

    def __setitem__(self, document_id: DocumentId, seen: SeenFile) -> None:
        self.others[document_id] = seen
        if document_id in self.known:
            self.left[document_id] = None

    def __delitem__(self, document_id: DocumentId) -> None:
        if self.others.pop(document_id, None) is None:
            self[document_id]  # raises KeyError
            self.left[document_id] = None

    def __contains__(self, document_id: object) -> bool:
        return document_id in self.others or (document_id in self.known and document_id not in self.left)

    def __iter__(self) -> Iterator[DocumentId]:
        yield from self.others
        left = self.left
        for document_id in self.known:
            if document_id not in left:
                yield document_id

    def __len__(self) -> int:
        return len(self.others) + len(self.known) - len(self.left)


def attached_to_mails(known: Mapping[DocumentId, KnownFile]) -> Mapping[DocumentId, list[DocumentId]]:
    """The known documents that are attached to mails, by the outermost mail."""
    if isinstance(known, KnownFiles):
        return known.attached
    found: dict[DocumentId, list[DocumentId]] = {}
    for name, file in known.items():
        if file.mail:
            found.setdefault(file.mail, []).append(name)
    return found


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
    seen_otherwise = listing.files
    perhaps_gone: Iterable[DocumentId] = known
    if isinstance(listing.files, SeenFiles) and listing.files.known is known:  # not all of them are looked at
        seen_otherwise, perhaps_gone = listing.files.others, listing.files.left
    new = sorted(path for path in seen_otherwise if path not in known)
    gone = sorted(
        path
        for path in perhaps_gone
        if path not in listing.files and path not in kept and not path.startswith(kept_folders)
    )
    changed: list[DocumentId] = []
    touched: list[DocumentId] = []
    for path, seen in seen_otherwise.items():
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


def _packed(revision: str, rest: str) -> bytes:
    """A hash as its bytes, with a 0 in front; then the rest as text."""
    if len(revision) == 2 * _HASH_BYTES:
        try:
            head = bytes.fromhex(revision)
        except ValueError:  # a mark of a file that was not read
            head = b""
        if head.hex() == revision:
            return b"\0" + head + rest.encode("utf-8", "surrogatepass")
    return f"\1{revision}\0{rest}".encode("utf-8", "surrogatepass")


def _unpacked(packed: bytes) -> KnownFile:
    if packed[0] == 0:
        revision, rest = packed[1 : 1 + _HASH_BYTES].hex(), packed[1 + _HASH_BYTES :].decode("utf-8", "surrogatepass")
    else:
        revision, _, rest = packed[1:].decode("utf-8", "surrogatepass").partition("\0")
    stamp, size, mail, context = rest.split("\0", 3)
    return KnownFile(Revision(revision), stamp, int(size), DocumentId(mail), context)
