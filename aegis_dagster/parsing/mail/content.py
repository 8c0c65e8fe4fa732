"""What a mail holds for its readers: its texts, of which some are the same in another format, and its attachments."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote_to_bytes

from aegis_dagster.errors import DocumentError
from aegis_dagster.parsing.formats import SUPPORTED, check_kind
from aegis_dagster.parsing.mail.calendar import calendar_entries
from aegis_dagster.parsing.mail.parts import REPORTS, SIGNED_OR_ENCRYPTED, Part, read_parts
from aegis_dagster.parsing.mail.text import decoded, unflowed

# Content type -> the suffix of its files, for attachments whose name has none.
_SUFFIXES: Final[dict[str, str]] = {
    "application/pdf": ".pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/msword": ".doc",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.ms-powerpoint": ".ppt",
    "application/rtf": ".rtf",
    "text/rtf": ".rtf",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/vnd.oasis.opendocument.presentation": ".odp",
    "application/vnd.ms-outlook": ".msg",
    "application/epub+zip": ".epub",
    "message/rfc822": ".eml",
    "message/global": ".eml",
    "message/news": ".eml",
    "text/html": ".html",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "text/plain": ".txt",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/tiff": ".tif",
    "image/webp": ".webp",
}
_SIGNATURES: Final = ("application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature")
_CALENDARS: Final = ("text/calendar", "application/ics")
_OUTLOOK: Final = ("application/ms-tnef", "application/vnd.ms-tnef")
_READABLE: Final = ("text/", "application/json", "application/xml")  # what is no document is shown in the mail
_ARCHIVES: Final = (".zip", ".7z", ".rar", ".gz", ".tgz", ".tar", ".bz2", ".xz")
_LONGEST_NAME: Final = 180  # bytes; file systems allow 255
_LONGEST_TEXT: Final = 1_000_000  # bytes of an attached text that is shown in the mail
_CITED = re.compile(rb"""(?i)cid:([^\s"'<>()]{1,998})""")  # a picture, by its Content-ID
_TAG = re.compile(r"<[^<>]*>")
_SUFFIX = re.compile(r"\.(?=\d*[a-z])[a-z\d]{1,8}")  # as files have them
_UNSEEN = re.compile(r"(?i)<(style|script|head)\b")


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a mail."""

    kind: str  # "plain", "html" or "calendar"
    text: str
    name: str = ""  # of the file that it is


@dataclass(slots=True)
class Body:
    """Texts that are read one after the other, and the same texts in other formats."""

    texts: list[Text]
    others: list[Text] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a mail."""

    name: str  # safe as the name of a file, and given once in the mail
    content_type: str
    data: bytes
    content_id: str = ""
    is_picture: bool = False  # in the mail: shown between its texts, as a logo or a photo
    unread: str = ""  # why it is not read, as the end of a sentence; "" if it is read, or if nobody would read it
    shown: bool = False  # its text is shown in the mail

    @property
    def is_document(self) -> bool:
        """Whether it is a document of its own."""
        aside = self.unread or self.shown or self.is_picture or self.content_type in _SIGNATURES
        return not aside and bool(self.data) and PurePosixPath(self.name).suffix.lower() in SUPPORTED


@dataclass(slots=True)
class Content:
    """Everything of a mail but its header."""

    bodies: list[Body] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # for the reader of the mail: that it is encrypted
    warnings: list[str] = field(default_factory=list)


def read_content(mail: Part) -> Content:
    """The texts and attachments of a mail, in order."""
    reader = _Reader(mail)
    content = Content(notes=reader.notes, warnings=reader.warnings)
    for item in reader.items(mail, related=False):
        if isinstance(item, Body):
            content.bodies.append(item)
        else:
            content.attachments.append(item)
    return content


class _Reader:
    """Walks the parts of one mail."""

    def __init__(self, mail: Part) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        pages = [part.content()[0] for part in mail.walk() if part.content_type == "text/html"]
        cited = {each for page in pages for each in _CITED.findall(page)}
        self._cited = cited | {unquote_to_bytes(each) for each in cited}
        self._names: set[str] = set()
        self._numbers: dict[str, int] = {}  # the last that a name was given, to tell it from another
        self._calendars: set[str] = set()

    def items(self, part: Part, *, related: bool) -> Iterator[Body | Attachment]:
        """The bodies and attachments of a part."""
        kind = part.content_type
        if part.incomplete:
            self._warn(f"A part of the mail is not read: {part.incomplete}.")
        if kind == "multipart/alternative" and part.parts:
            yield from self._chosen([list(self.items(each, related=related)) for each in part.parts])
        elif kind == "multipart/encrypted":
            self._encrypted("PGP")
            yield from (self._attachment(each, unread="it is encrypted") for each in part.parts)
        elif kind.startswith("multipart/") or (kind in SIGNED_OR_ENCRYPTED and part.parts):
            for each in part.parts:
                yield from self.items(each, related=related or kind == "multipart/related")
        elif part.parts or part.incomplete or not self._is_text(part):
            yield from self._file(part, related)
        else:
            yield from self._texts(part)

    def _chosen(self, branches: list[list[Body | Attachment]]) -> Iterator[Body | Attachment]:
        """The richest branch that has text. Of the others, everything that is not the same text."""

        def rank(number: int) -> tuple[bool, bool, int]:
            texts = [text for item in branches[number] if isinstance(item, Body) for text in item.texts]
            html = any(text.kind == "html" and visible(text.text) for text in texts)
            return html, any(text.kind != "calendar" and visible(text.text) for text in texts), number

        best = max(range(len(branches)), key=rank)
        body, rest = Body([]), list[Body | Attachment]()
        for number, branch in enumerate(branches):
            for item in branch:
                if isinstance(item, Attachment):
                    rest.append(item)
                    continue
                body.others += item.others
                for text in item.texts:
                    same = number != best and text.kind != "calendar"
                    (body.others if same else body.texts).append(text)
        body.texts.sort(key=lambda text: text.kind == "calendar")
        yield body
        yield from rest

    def _is_text(self, part: Part) -> bool:
        """Whether readers show it as a text of the mail, and not as a file."""
        kind, name = part.content_type, part.file_name
        if part.disposition == "attachment":
            return False
        if kind in ("text/plain", "text/html", *_CALENDARS, *REPORTS) or not name:
            suffix = PurePosixPath(name).suffix.lower()
            return kind in REPORTS or (kind.startswith("text/") and SUPPORTED.get(suffix, "text") in ("text", "html"))
        return False

    def _texts(self, part: Part) -> Iterator[Body]:
        kind, name = part.content_type, _safe(part.file_name)
        data, rest = part.content()
        text = self._decoded(data, part)
        if kind in _CALENDARS and (entries := calendar_entries(text)):
            yield from self._calendar(entries)
        elif kind in ("text/html", "text/x-amp-html"):
            yield Body([Text("html", text, name)])
        else:
            if part.parameter("format").lower() == "flowed":
                text = unflowed(text, delete_space=part.parameter("delsp").lower() == "yes")
            if "-----BEGIN PGP MESSAGE-----" in text:
                self._encrypted("PGP")
            yield Body([Text("plain", text, name)])
        if rest:
            yield Body([Text("plain", self._decoded(rest, part))])

    def _calendar(self, entries: list[str]) -> Iterator[Body]:
        """Entries that the mail does not have yet: most invitations come in two parts."""
        new = [entry for entry in entries if entry not in self._calendars]
        self._calendars.update(new)
        if new:
            yield Body([Text("calendar", "\n\n".join(new))])

    def _file(self, part: Part, related: bool) -> Iterator[Body | Attachment]:
        kind = part.content_type
        if kind in SIGNED_OR_ENCRYPTED and "signed" in part.parameter("smime-type").lower():
            yield self._attachment(part, unread="the signature that encloses the mail is damaged")
            return
        if kind in SIGNED_OR_ENCRYPTED:
            self._encrypted("S/MIME")
            yield self._attachment(part, unread="it is encrypted")
            return
        data = part.content()[0]
        if kind in _CALENDARS and (entries := calendar_entries(self._decoded(data, part))):
            yield from self._calendar(entries)
            yield self._attachment(part, shown=True)
            return
        cited = bool(part.content_id) and part.content_id.encode("utf-8", "replace") in self._cited
        inside = cited or part.disposition == "inline" or (related and bool(part.content_id))
        picture = kind.startswith("image/") and inside
        attachment = self._attachment(part, is_picture=picture)
        if kind.startswith(_READABLE) and attachment.unread and len(data) <= _LONGEST_TEXT:
            shown = Attachment(attachment.name, kind, data, shown=True)
            yield Body([Text("plain", self._decoded(data, part), shown.name)])
            yield shown
        else:
            yield attachment

    def _attachment(self, part: Part, *, unread: str = "", shown: bool = False, is_picture: bool = False) -> Attachment:
        kind = part.content_type
        data = part.content()[0]
        name = self._unique(_safe(part.file_name) or self._invented(part))
        suffix = PurePosixPath(name).suffix.lower()  # of "Offer No. 5" it is ". 5"
        if kind in _SUFFIXES and (not suffix or (not kind.startswith("text/") and _is_no_suffix(suffix))):
            name = self._unique(name + _SUFFIXES[kind])
        self._names.add(name.casefold())
        if not (unread or shown or is_picture or kind in _SIGNATURES):
            unread = part.incomplete or _why_unread(name, kind, data)
        return Attachment(name, kind, data, part.content_id, is_picture, unread, shown)

    def _invented(self, part: Part) -> str:
        if part.parts:  # a mail
            subject = _safe(part.parts[0].text("subject"))[:80].strip(" .")
            return f"{subject or 'message'}.eml"
        number = len(self._names) + 1
        return f"attachment {number}{_SUFFIXES.get(part.content_type, '')}"

    def _unique(self, name: str) -> str:
        if name.casefold() not in self._names:
            return name
        path = PurePosixPath(name)
        number = self._numbers.get(name.casefold(), 2)
        while f"{path.stem} ({number}){path.suffix}".casefold() in self._names:
            number += 1
        self._numbers[name.casefold()] = number
        return f"{path.stem} ({number}){path.suffix}"

    def _decoded(self, data: bytes, part: Part) -> str:
        text, doubt = decoded(data, part.parameter("charset"))
        self._warn(doubt)
        return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")

    def _encrypted(self, how: str) -> None:
        note = f"This mail is encrypted ({how})."
        if note not in self.notes:
            self.notes.append(note)
        self._warn(f"The mail is encrypted ({how}) and not read; save it decrypted in the mail program.")

    def _warn(self, warning: str) -> None:
        if warning and warning not in self.warnings:
            self.warnings.append(warning)


def text_in(name: str, data: bytes) -> str:
    """The text of an attached file, if it is a text file, a page or a mail; what is attached to that is not in it."""
    kind = SUPPORTED.get(PurePosixPath(name).suffix.lower())
    if kind == "eml":
        bodies = read_content(read_parts(data)).bodies
        texts = [text for body in bodies for text in (*body.texts, *body.others)]
        return "\n".join(visible(text.text) if text.kind == "html" else text.text for text in texts)
    if kind in ("text", "md", "csv", "html"):
        text = decoded(data, "")[0]
        return visible(text) if kind == "html" else text
    return ""


def visible(text: str) -> str:
    """The words of a text that may be HTML, without its tags."""
    seen, at = [], 0
    while start := _UNSEEN.search(text, at):
        seen.append(text[at : start.start()])
        end = re.compile(f"(?i)</{start[1]}").search(text, start.end())
        at = end.start() if end else len(text)
    seen.append(text[at:])
    return _TAG.sub(" ", "".join(seen)).strip()


def _is_no_suffix(suffix: str) -> bool:
    return suffix not in SUPPORTED and _SUFFIX.fullmatch(suffix) is None


def _why_unread(name: str, kind: str, data: bytes) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    if not data:
        return "it is empty"
    if kind in _OUTLOOK or name.lower() == "winmail.dat":
        return "it is in Outlook's own format (TNEF); ask for the mail in HTML or plain text"
    if data.lstrip().startswith(b"-----BEGIN PGP MESSAGE-----") or suffix in (".pgp", ".gpg", ".p7m"):
        return "it is encrypted"
    if data.lstrip().startswith(b"-----BEGIN PGP "):
        return "it is a key or a signature"
    if kind == "message/external-body":
        return "the mail holds only the address at which it lies"
    if kind == "message/partial":
        return "it is one piece of a mail that was sent in several"
    if suffix in _ARCHIVES:
        return "archives are not unpacked; unpack it into the watched folder"
    if suffix not in SUPPORTED:
        return f"files named {suffix or 'without a suffix'} are not read"
    if suffix in (".json", ".xml"):  # of which only some kinds are documents
        try:
            check_kind(data, suffix)
        except DocumentError as error:
            return error.message[0].lower() + error.message[1:].rstrip(".")
    return ""


def _safe(name: str) -> str:
    """The name as that of a file in the mail: no folders, nothing invisible, not hidden, not too long."""
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    name = "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in name)
    name = " ".join(name.split()).lstrip(".").strip()
    path = PurePosixPath(name)
    stem, suffix = path.stem, path.suffix[:20]
    while stem and len(f"{stem}{suffix}".encode("utf-8", "replace")) > _LONGEST_NAME:
        stem = stem[: -max(1, (len(stem) - _LONGEST_NAME) // 2)]
    return stem.rstrip() + suffix if name else ""
