"""Documents that are attached to mails: what is known of them before they are read.

Such a document is a child of its mail: its id is the mail's id and a path below it, it lies in the mail's collection,
and it comes, changes, moves and goes with the mail.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from aegis_dagster.domain.identifiers import DocumentId

MAIL_SUFFIXES: Final = (".eml", ".msg")


@dataclass(frozen=True, slots=True)
class AttachmentLimits:
    """Which attachments of a mail become documents. What is attached to attached mails counts for the outermost."""

    max_documents: int = 100
    max_megabytes: int = 200  # of 1,000,000 bytes, all together
    max_depth: int = 3  # 1: what is attached to the mail; 2: and to the mails attached to it


@dataclass(frozen=True, slots=True)
class AttachedDocument:
    """A document that is attached to a mail, or to a mail attached to it."""

    path: str  # below the mail: "offer.pdf", "Fwd offer.eml/offer.pdf"
    data: bytes
    context: str  # subjects of the mails it comes with, outermost first, one a line


@dataclass(frozen=True, slots=True)
class Attachments:
    """The documents attached to a mail, and what is left out for a limit."""

    documents: tuple[AttachedDocument, ...] = ()
    beyond: tuple[tuple[str, str], ...] = ()  # path, and the reason as the end of a sentence


def is_mail(document_id: str) -> bool:
    """Whether the file's name says that it is a mail."""
    return document_id.lower().endswith(MAIL_SUFFIXES)


def enclosing_mails(document_id: DocumentId) -> list[DocumentId]:
    """The mails that a document may be attached to, by its id, outermost first."""
    parents = reversed(PurePosixPath(document_id).parents)
    return [DocumentId(str(parent)) for parent in parents if is_mail(parent.name)]
