"""The document of a mail: its subject as the title, header fields, the names of its attachments, and its texts.

Texts in HTML go through the reader of web pages, so that tables, links and pictures stay.
"""

import re
import unicodedata
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from aegis_dagster.domain.attachments import AttachmentLimits
from aegis_dagster.domain.left_out import LeftOut, Reason
from aegis_dagster.errors import DocumentError
from aegis_dagster.parsing.mail.attachments import documents_of, read_mail
from aegis_dagster.parsing.mail.content import Attachment, Body, Content, Text, read_content, text_in, visible
from aegis_dagster.parsing.mail.parts import Part
from aegis_dagster.parsing.readers import Parsed, reader_of

if TYPE_CHECKING:
    from docling_core.types.doc.document import DoclingDocument

# Header fields that people read, in their order, and what they are called.
_FIELDS: Final = {"from": "From", "sender": "Sender", "to": "To", "cc": "Cc", "bcc": "Bcc", "reply-to": "Reply-To"}
_PICTURES: Final = ("image/png", "image/jpeg", "image/gif", "image/bmp", "image/webp", "image/tiff")
_MOST_PICTURE_BYTES: Final = 30_000_000  # of the pictures that a text shows, together
_MOST_COMPARED: Final = 300  # words of another body that are searched letter by letter
_WORD = re.compile(r"\w+")
_NO_WORDS = re.compile(r"\b(?:https?://|mailto:|www\.)[^\s<>]+|\[(?:image|cid)[^\[\]]*\]|\[\d+\]")


def read(data: bytes, *, name: str, kind: str, options: dict[str, Any]) -> Parsed:
    """The document of a mail, as `readers.Reader` has it."""
    mail = _Mail(name, options)
    mail.add(read_mail(data, f".{kind}"))
    return Parsed(mail.document(), "mail", tuple(mail.warnings), tuple(mail.left_out))


class _Mail:
    """Gathers the pieces of a document: those from HTML are documents of their own until the end."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        self._name, self._options = name, options
        self._documents = [_empty(name)]
        self._pictures_left, self._placed = _MOST_PICTURE_BYTES, set[str]()
        self.warnings: list[str] = []
        self.left_out: list[LeftOut] = []

    def document(self) -> "DoclingDocument":
        """Everything that was added."""
        filled = [each for each in self._documents if each.body.children] or self._documents[:1]
        return filled[0] if len(filled) == 1 else type(filled[0]).concatenate(filled)

    def add(self, part: Part) -> None:
        """Add the mail."""
        content = read_content(part)
        self._warn(content.warnings)
        if subject := part.text("subject"):
            self._documents[-1].add_title(subject)
        for line in (*_header_lines(part), *content.notes, *_attachment_lines(content.attachments)):
            self._line(line)
        self._warn(
            f"The attachment {each.name} is not read: {each.unread}."
            for each in content.attachments
            if each.unread and each.unread != "it is encrypted"
        )
        for body in content.bodies:
            self._body(body, content)
        for each in content.attachments:  # that no text shows
            if each.is_picture and self._has_room(each):
                self._html(Text("html", '<img src="cid:it">'), Content(attachments=[replace(each, content_id="it")]))
        self._leave_out_documents(part, content)

    def _leave_out_documents(self, part: Part, content: Content) -> None:
        """Attachments that are documents of their own; those beyond the limits are only named."""
        attached = documents_of(part, content, AttachmentLimits(**self._options.get("mail", {})))
        self._warn(f"The attachment {path} is not read: {why}." for path, why in attached.beyond)
        for each in attached.documents:
            self.left_out.append(LeftOut(Reason.OWN_DOCUMENT, f"attachment {each.path}", text_in(each.path, each.data)))

    def _body(self, body: Body, content: Content) -> None:
        start = len(self._documents)
        for text in body.texts:
            if text.name:
                self._documents[-1].add_heading(text.name)
            if text.kind == "html":
                self._html(text, content)
            else:
                self._paragraphs(text.text)
        if body.others:
            shown = _Words(_texts_of(self._documents[start - 1 :]))
            for other in body.others:
                self._other(other, shown)

    def _other(self, other: Text, shown: "_Words") -> None:
        """Leave out the same text in another format, but for the paragraphs that say something else."""
        text = visible(other.text) if other.kind == "html" else other.text
        for paragraph in _paragraphs(text):
            if shown.lack(paragraph):
                self._line(paragraph)
        place = f"the body as {'HTML' if other.kind == 'html' else 'plain text'}"
        self.left_out.append(LeftOut(Reason.OTHER_BODY, place, text))

    def _html(self, text: Text, content: Content) -> None:
        html = self._with_pictures(text.text, content.attachments)
        page = f"{self._name.rpartition('.')[0]}.html"
        try:
            parsed = reader_of("html")(
                html.encode("utf-8-sig", "replace"), name=page, kind="html", options=self._options
            )
        except DocumentError as error:
            if words := visible(text.text):
                self._warn([f"The HTML of the mail is read without its layout: {error.message}"])
                self._paragraphs(words)
            return
        _lower_headings(parsed.document)
        self._warn(parsed.warnings)
        self.left_out += parsed.left_out
        self._documents += [parsed.document, _empty(self._name)]

    def _with_pictures(self, html: str, attachments: list[Attachment]) -> str:
        """The HTML with the pictures of the mail that it shows in place of their names (`cid:`), each once."""
        for each in attachments:
            if not each.is_picture or not self._has_room(each):
                continue
            for name in (f"cid:{each.content_id}", f"cid:{quote(each.content_id)}"):
                if each.content_id and name in html:
                    self._pictures_left -= len(each.data)
                    self._placed.add(each.name)
                    html = html.replace(name, f"data:{each.content_type};base64,{b64encode(each.data).decode()}", 1)
                    break
        return html

    def _has_room(self, picture: Attachment) -> bool:
        return (
            picture.content_type in _PICTURES
            and picture.name not in self._placed
            and len(picture.data) <= self._pictures_left
        )

    def _paragraphs(self, text: str) -> None:
        for paragraph in _paragraphs(text):
            self._line(paragraph)

    def _line(self, text: str) -> None:
        from docling_core.types.doc.labels import DocItemLabel

        self._documents[-1].add_text(DocItemLabel.TEXT, text)

    def _warn(self, warnings: Iterable[str]) -> None:
        self.warnings += [each for each in warnings if each not in self.warnings]


def _empty(name: str) -> "DoclingDocument":
    from docling_core.types.doc.document import DoclingDocument

    return DoclingDocument(name=name)


class _Words:
    """The words of a text, to find those of another that it lacks."""

    def __init__(self, texts: Iterable[str]) -> None:
        text = _plain(" ".join(texts))
        self._words = set(_WORD.findall(text))
        self._letters = "".join(_WORD.findall(text))  # a word may be divided in one of the two texts
        self._compared = 0

    def lack(self, text: str) -> bool:
        """Whether a word of a text is not among them; addresses and numbers of links are no words."""
        return any(self._lacks(word) for word in _WORD.findall(_plain(_NO_WORDS.sub(" ", text))))

    def _lacks(self, word: str) -> bool:
        if word in self._words or not word.strip("_"):
            return False
        self._compared += 1
        return self._compared > _MOST_COMPARED or word not in self._letters


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("\u00ad", "")


def _header_lines(part: Part) -> Iterator[str]:
    seen: set[str] = set()
    for name, label in _FIELDS.items():
        values = [value for each in part.fields if each[0] == name and (value := Part([each], b"").text(name))]
        if values and not (name in ("sender", "reply-to") and values[0] in seen):
            yield f"{label}: {', '.join(values)}"
        seen.update(values)
    if date := part.text("date"):
        yield f"Date: {date}"


def _attachment_lines(attachments: list[Attachment]) -> Iterator[str]:
    files = [each for each in attachments if not each.is_picture]
    pictures = [each for each in attachments if each.is_picture]
    if files:
        yield f"Attachments: {'; '.join(map(_described, files))}"
    if pictures:
        yield f"Pictures: {'; '.join(map(_described, pictures))}"


def _described(attachment: Attachment) -> str:
    size = len(attachment.data)
    shown = f"{size} bytes" if size < 1_000 else f"{size / 1e3:,.0f} kB" if size < 1e6 else f"{size / 1e6:,.1f} MB"
    return f"{attachment.name} ({attachment.content_type}, {shown})"


def _paragraphs(text: str) -> Iterator[str]:
    """What stands between empty lines, with its line breaks."""
    for paragraph in re.split(r"\n[ \t]*\n", text.replace("\u00a0", " ")):
        if paragraph.strip():
            yield "\n".join(line.rstrip() for line in paragraph.strip("\n").split("\n") if line.strip())


def _texts_of(documents: list["DoclingDocument"]) -> Iterator[str]:
    for document in documents:
        for item in document.texts:
            yield item.text
        for table in document.tables:
            yield from (cell.text for cell in table.data.table_cells)


def _lower_headings(document: "DoclingDocument") -> None:
    """The mail's subject is its title: that of a page in it becomes a heading, and its headings go one level down."""
    from docling_core.types.doc.items.text import SectionHeaderItem, TitleItem

    if not any(isinstance(item, TitleItem) for item in document.texts):
        return
    for number, item in enumerate(document.texts):
        if isinstance(item, SectionHeaderItem):
            item.level += 1
        elif isinstance(item, TitleItem):
            values = item.model_dump(exclude={"label"})
            document.texts[number] = SectionHeaderItem.model_validate({**values, "level": 1})
