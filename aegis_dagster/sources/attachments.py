"""The watched root with the documents that are attached to its mails.

A mail is read once for each of its revisions: of one that is known, the catalog knows the documents. A mark at the end
of the mail's stamp says by which rules it was looked into; where these have changed, it is looked into again.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from aegis_dagster.domain.attachments import AttachedDocument, enclosing_mails, is_mail
from aegis_dagster.domain.identifiers import DocumentId, Revision, collection_of
from aegis_dagster.domain.listing import (
    KnownFile,
    KnownFiles,
    Listing,
    PassedOver,
    SeenFile,
    SeenFiles,
    attached_to_mails,
)
from aegis_dagster.domain.stages import Document
from aegis_dagster.errors import DocumentError, FailureCode, ServiceError
from aegis_dagster.opening import open_file
from aegis_dagster.ports import DocumentSource
from aegis_dagster.remote.hang_guard import answered
from aegis_dagster.remote.parallel_reads import side_by_side
from aegis_dagster.sources.downloads import Downloads
from aegis_dagster.sources.listing_rules import ReadingTime, is_unread

_MARK: Final = "|attachments "
_READ_AT_ONCE: Final = 4  # mails, each in memory

# The documents in a mail's bytes; the second argument is the suffix of its file.
Reader = Callable[[bytes, str], Iterable[AttachedDocument]]


@dataclass(slots=True)
class _Scan:
    files: SeenFiles
    attached: Mapping[DocumentId, list[DocumentId]]  # known, by mail
    passed_over: list[PassedOver]
    unread: set[DocumentId]


class SourceWithAttachments:
    """A root whose documents are its files, and what is attached to those that are mails."""

    def __init__(
        self,
        source: DocumentSource,
        *,
        read: Reader,
        rules: str,
        mails: Callable[[DocumentId], Document | None],
        copies: Path,
    ) -> None:
        """rules: what the documents of a mail depend on besides its bytes. mails: the catalog's document of a mail.

        copies: a local folder for attachments while they are parsed.
        """
        self._source = source
        self._read = read
        self._mark = _MARK + hashlib.sha256(rules.encode()).hexdigest()[:12]
        self._mails = mails
        self._copies = Downloads(copies)

    def scan(
        self, known: Mapping[DocumentId, KnownFile], scope: str = "", *, read_seconds: float | None = None
    ) -> Listing:
        """As the source, with the documents attached to mails.

        New mails are looked into for half of `read_seconds` more; at least as many as are read side by side.
        """
        mail = self._mail_around(scope)
        own = _OwnFiles(known)
        listing = self._source.scan(own, mail or scope, read_seconds=read_seconds)
        files = _seen(listing.files, known, own)
        found = _Scan(files, attached_to_mails(known), list(listing.passed_over), set(listing.unread))
        mails = [name for name in files if is_mail(name)]
        self._keep_unseen(found)
        self._look_into(mails, found, read_seconds)
        below = {name: seen for name, seen in files.items() if _is_below(name, scope)} if mail else files
        return Listing(below, tuple(found.passed_over), listing.ignored, frozenset(found.unread))

    def holds(self, scope: str) -> bool:
        """Whether there is a file, a folder or an attached document at a path below the root."""
        return self._source.holds(scope) or self.is_file(scope)

    def is_file(self, scope: str) -> bool:
        """Whether the path below the root is a file or a document attached to one."""
        if self._source.is_file(scope):
            return True
        return self._mail_around(scope) is not None and scope in self.scan({}, scope).files

    @contextmanager
    def local_copy(self, document: Document) -> Iterator[Path]:
        """As the source; of an attached document, a copy in a file that is deleted at the end of the block."""
        if not document.mail:
            with self._source.local_copy(document) as path:
                yield path
            return
        data = self._attached(document)
        with self._copies.copy(document, [data], most=len(data)) as path:
            yield path

    def _mail_around(self, scope: str) -> DocumentId | None:
        """The mail that a path leads into; None if it is that of a file or folder."""
        around = enclosing_mails(DocumentId(scope)) if scope else []
        return next((mail for mail in around if self._source.is_file(mail)), None)

    def _keep_unseen(self, found: _Scan) -> None:
        """What is attached to a mail that is kept although it was not read, is kept with it."""
        for item in found.passed_over:
            if item.keeps_document:
                self._keep(DocumentId(item.path), found)
        for mail in found.unread:
            self._keep(mail, found)

    def _keep(self, mail: DocumentId, found: _Scan) -> None:
        """List what is attached to a mail as the catalog has it."""
        for name in found.attached.get(mail, ()):
            if name not in found.files:
                found.files.as_known(name)

    def _look_into(self, mails: list[DocumentId], found: _Scan, read_seconds: float | None) -> None:
        new: list[DocumentId] = []
        for mail in mails:
            seen, before = found.files[mail], found.files.known.get(mail)
            if is_unread(seen.revision):
                continue
            if before is not None and before.revision == seen.revision and before.stamp.endswith(self._mark):
                if seen.stamp != before.stamp:
                    found.files[mail] = self._marked(seen)
                self._keep(mail, found)
            else:
                new.append(mail)
        reading = ReadingTime(None if read_seconds is None else read_seconds / 2)

        def look(mail: DocumentId) -> list[tuple[DocumentId, SeenFile]] | PassedOver | None:
            if reading.over() and mail not in new[:_READ_AT_ONCE]:
                return None
            return self._inside(mail, found.files[mail])

        for mail, inside in list(side_by_side(look, new, at_once=_READ_AT_ONCE, instead=_silent)):
            if isinstance(inside, PassedOver):
                found.passed_over.append(inside)
                del found.files[mail]
                self._keep(mail, found)
            elif inside is None:
                found.unread.add(mail)
                del found.files[mail]
                self._keep(mail, found)
            else:
                found.files[mail] = self._marked(found.files[mail])
                for name, seen in inside:
                    found.files.setdefault(name, seen)  # an object store may have both: the file is the document

    def _inside(self, mail: DocumentId, seen: SeenFile) -> list[tuple[DocumentId, SeenFile]] | PassedOver:
        try:
            data = self._bytes_of(Document(mail, collection_of(mail), seen.revision, seen.size_bytes, _suffix(mail)))
        except DocumentError as error:
            if error.code is FailureCode.FILE_CHANGED:
                return PassedOver(mail, "still_growing", error.remedy, True)
            return PassedOver(mail, "unreadable", f"{error.message} {error.remedy}", True)
        except ServiceError as error:
            return PassedOver(mail, "unreadable", f"{error.message} {error.remedy}", True)
        found = []
        for attached in self._documents_in(data, mail):
            answered()
            revision = Revision(hashlib.sha256(attached.data).hexdigest())
            file = SeenFile(revision, seen.revision, len(attached.data), mail, attached.context)
            found.append((DocumentId(f"{mail}/{attached.path}"), file))
        return found

    def _documents_in(self, data: bytes, mail: DocumentId) -> list[AttachedDocument]:
        """What is attached to a mail. None where its reader stops: parsing the mail tells why, and the others go on."""
        try:
            return list(self._read(data, _suffix(mail)))
        except MemoryError:
            raise
        except Exception:
            return []

    def _bytes_of(self, mail: Document) -> bytes:
        """Raises DocumentError, FILE_CHANGED if they are not the listed ones, and ServiceError."""
        with self._source.local_copy(mail) as path:
            try:
                with os.fdopen(open_file(path), "rb") as file:
                    data = file.read(mail.size_bytes + 1)
            except OSError as error:
                raise DocumentError(
                    FailureCode.UNREADABLE_FILE,
                    f"The mail {mail.id} cannot be read: {error.strerror}.",
                    remedy="give the user of this process the right to read it, or check the disk.",
                    retryable=True,
                ) from error
        answered()
        if hashlib.sha256(data).hexdigest() != mail.revision:
            raise _changed()
        return data

    def _attached(self, document: Document) -> bytes:
        mail = self._mails(DocumentId(document.mail))
        path = document.id.removeprefix(f"{document.mail}/")
        for attached in self._read(self._bytes_of(mail), mail.suffix) if mail else ():
            if attached.path == path and hashlib.sha256(attached.data).hexdigest() == document.revision:
                return attached.data
        raise _changed()

    def _marked(self, seen: SeenFile) -> SeenFile:
        return replace(seen, stamp=seen.stamp.partition(_MARK)[0] + self._mark)


class _OwnFiles(KnownFiles):
    """The known files of the source itself, with their stamps."""

    def __init__(self, known: Mapping[DocumentId, KnownFile]) -> None:
        super().__init__()
        self._known = known
        self._by_hash = known if isinstance(known, KnownFiles) else KnownFiles()
        self.others = {name for names in attached_to_mails(known).values() for name in names}

    def has(self, document_id: DocumentId, stamp: str) -> bool:
        """As the known files: a mail's stamp has a mark, and what is attached to one is no file."""
        return self._by_hash.has(document_id, stamp)

    def __contains__(self, document_id: object) -> bool:
        return document_id in self._known and document_id not in self.others

    def __getitem__(self, document_id: DocumentId) -> KnownFile:
        if document_id in self.others:
            raise KeyError(document_id)
        return _unmarked(self._known[document_id])

    def __iter__(self) -> Iterator[DocumentId]:
        return (name for name in self._known if name not in self.others)

    def __len__(self) -> int:
        return len(self._known) - len(self.others)


def _seen(files: Mapping[DocumentId, SeenFile], known: Mapping[DocumentId, KnownFile], own: _OwnFiles) -> SeenFiles:
    """What the source saw, among all known documents."""
    if isinstance(files, SeenFiles):
        return files.among(known, own.others)
    seen = SeenFiles(known)
    seen.update(files)
    return seen


def _unmarked(file: KnownFile) -> KnownFile:
    stamp, mark, _ = file.stamp.partition(_MARK)
    return replace(file, stamp=stamp) if mark else file


def _is_below(name: str, scope: str) -> bool:
    return name == scope or name.startswith(f"{scope}/")


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _silent(mail: DocumentId) -> PassedOver:
    remedy = "find out why it hangs; it is read again once that read has ended or this process is restarted."
    return PassedOver(mail, "unreadable", remedy, True)


def _changed() -> DocumentError:
    return DocumentError(
        FailureCode.FILE_CHANGED,
        "The mail changed after it was listed.",
        remedy="nothing; the next run lists it again.",
        retryable=True,
    )
