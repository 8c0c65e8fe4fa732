"""Which attachments of a mail become documents of their own; the same rule for the listing and for the mail's text."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from aegis_dagster.domain.attachments import AttachedDocument, AttachmentLimits, Attachments, is_mail
from aegis_dagster.errors import DocumentError
from aegis_dagster.parsing.formats import SUPPORTED

if TYPE_CHECKING:  # a listing asks only for the rules, unless it finds a mail
    from aegis_dagster.parsing.mail.content import Content
    from aegis_dagster.parsing.mail.parts import Part

# Raise it whenever the same mail gives other documents: every mail is then looked into once more.
ATTACHMENTS_VERSION: Final = "1"

_LONGEST_SUBJECT: Final = 300  # characters


def attached_documents(data: bytes, suffix: str, limits: AttachmentLimits) -> Attachments:
    """The documents attached to a mail. None if it cannot be read: parsing it tells why.

    suffix: of the mail's file, lower case, with its dot.
    """
    from aegis_dagster.parsing.mail.content import read_content

    try:
        mail = read_mail(data, suffix)
    except DocumentError:
        return Attachments()
    return documents_of(mail, read_content(mail), limits)


def documents_of(mail: Part, content: Content, limits: AttachmentLimits) -> Attachments:
    """The documents attached to a mail that was read."""
    gathered = _Gathered(limits)
    gathered.add(mail, content, "", (), 1)
    return Attachments(tuple(gathered.documents), tuple(gathered.beyond))


def read_mail(data: bytes, suffix: str) -> Part:
    """The parts of a mail. Raises DocumentError CORRUPT_FILE."""
    from aegis_dagster.parsing.mail.msg import read_msg
    from aegis_dagster.parsing.mail.parts import read_parts

    return read_msg(data) if suffix == ".msg" else read_parts(data)


def rules_of(limits: AttachmentLimits) -> str:
    """What the documents of a mail depend on besides its bytes."""
    formats = " ".join(sorted(SUPPORTED))
    return f"{ATTACHMENTS_VERSION} {limits.max_documents} {limits.max_megabytes} {limits.max_depth} {formats}"


@dataclass(slots=True)
class _Gathered:
    limits: AttachmentLimits
    documents: list[AttachedDocument] = field(default_factory=list)
    beyond: list[tuple[str, str]] = field(default_factory=list)
    size: int = 0  # bytes

    def add(self, mail: Part, content: Content, folder: str, subjects: tuple[str, ...], depth: int) -> None:
        """What is attached to a mail. folder: its path below the outermost mail, "" or with a slash at its end."""
        subject = mail.text("subject")[:_LONGEST_SUBJECT].strip()
        subjects = subjects if subject in ("", *subjects) else (*subjects, subject)
        for attachment in content.attachments:
            if not attachment.is_document:
                continue
            path = folder + attachment.name
            if why := self._limit(len(attachment.data), depth):
                self.beyond.append((path, why))
                continue
            self.size += len(attachment.data)
            self.documents.append(AttachedDocument(path, attachment.data, "\n".join(subjects)))
            if is_mail(path):
                self._add_mail(attachment.data, path, subjects, depth)

    def _add_mail(self, data: bytes, path: str, subjects: tuple[str, ...], depth: int) -> None:
        from aegis_dagster.parsing.mail.content import read_content

        try:
            inner = read_mail(data, PurePosixPath(path).suffix.lower())
        except DocumentError:
            return
        self.add(inner, read_content(inner), f"{path}/", subjects, depth + 1)

    def _limit(self, size: int, depth: int) -> str:
        limits = self.limits
        if depth > limits.max_depth:
            return f"it is nested deeper than {limits.max_depth} mails (mail.max_depth)"
        if len(self.documents) >= limits.max_documents:
            return f"the mail has more than {limits.max_documents} documents (mail.max_documents)"
        if self.size + size > limits.max_megabytes * 1_000_000:
            return f"the documents of the mail have more than {limits.max_megabytes} MB (mail.max_megabytes)"
        return ""
