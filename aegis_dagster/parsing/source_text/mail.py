"""The text of mails: fields, every text part, names of attachments."""

import codecs
import email
import io
from collections import Counter
from collections.abc import Iterator
from email.errors import InvalidBase64CharactersDefect
from email.header import decode_header, make_header
from email.message import Message

from aegis_dagster.domain.left_out import LeftOut, Piece
from aegis_dagster.parsing.source_text.web import page_texts
from aegis_dagster.parsing.text.encodings import decode

_FIELDS = ("from", "to", "cc", "subject")
_CALENDAR = ("SUMMARY", "LOCATION", "DESCRIPTION")


def read(data: bytes, kind: str) -> Iterator[Piece | LeftOut]:
    """The fields that people see, the text parts, and the name of every attachment."""
    if kind == "msg":
        yield from _outlook(data)
        return
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = decode(data).text.encode()
    message = email.message_from_bytes(data)
    for name, value in message.raw_items():
        if name.lower() in _FIELDS:
            written = str(value).encode("ascii", "surrogateescape")  # bytes that are not ASCII are surrogates
            yield Piece(name.lower(), _decoded(decode(written).text))
    yield from _part(message)


def _decoded(field: str) -> str:
    try:
        return str(make_header(decode_header(field)))
    except (LookupError, ValueError):  # an unknown character set, or a damaged one
        return field


def _part(part: Message) -> Iterator[Piece | LeftOut]:
    name = part.get_filename()
    if name:
        yield Piece("attachment", _decoded(name).replace("\\", "/").rpartition("/")[2])  # folders are no part of it
    elif part.get_content_type() == "multipart/alternative":
        yield from _alternatives(part)
    elif part.get_content_type() == "message/rfc822":
        return  # a document of its own
    elif part.is_multipart():
        for inner in _inner(part):
            yield from _part(inner)
    elif part.get_content_maintype() == "text":
        yield from _text(part)


def _inner(part: Message) -> list[Message]:
    inner = part.get_payload()
    return [each for each in inner if isinstance(each, Message)] if isinstance(inner, list) else []


def _alternatives(part: Message) -> Iterator[Piece | LeftOut]:
    """What all forms of a text have in common: any of them may be the one that is kept."""
    forms = [list(_part(inner)) for inner in _inner(part)]
    texts = ["\n".join(item.text for item in form if isinstance(item, Piece)) for form in forms]
    texts = sorted((text for text in texts if text.strip()), key=lambda text: len(text.split()))
    if not texts:
        return
    common = Counter(texts[-1].split())
    for other in texts[:-1]:
        shared = common & Counter(other.split())
        common = shared if shared.total() * 2 >= common.total() else common
    kept = []
    for word in texts[-1].split():
        if common[word] > 0:
            common[word] -= 1
            kept.append(word)
    yield Piece("body", " ".join(kept))


def _text(part: Message) -> Iterator[Piece | LeftOut]:
    payload = part.get_payload(decode=True)
    if any(isinstance(defect, InvalidBase64CharactersDefect) for defect in part.defects):
        return  # a footer behind base64 makes rubbish of it
    text = decode(payload, _charset(part, payload)).text if isinstance(payload, bytes) else ""
    if part.get_content_subtype() == "html":
        yield from page_texts(text, "body")
    elif part.get_content_subtype() == "calendar":
        yield Piece("calendar", _calendar(text))
    else:
        yield Piece("body", text)


def _charset(part: Message, payload: bytes) -> str | None:
    """As declared; None where many mails declare one and have another: UTF-8 and 7-bit Japanese."""
    declared = part.get_content_charset()
    if b"\x1b$" in payload:
        return None
    try:
        payload.decode()
    except UnicodeDecodeError:
        return declared
    return None if declared in ("us-ascii", "iso-8859-1", "windows-1252") else declared


def _calendar(text: str) -> str:
    """The values that people see, of unfolded lines (RFC 5545, 3.1)."""
    lines = text.replace("\r\n", "\n").replace("\n ", "").replace("\n\t", "").split("\n")
    fields = (line.partition(":") for line in lines)
    shown = [value for key, _, value in fields if key.partition(";")[0].upper() in _CALENDAR]
    return "\n".join(value.replace("\\n", "\n").replace("\\N", "\n").replace("\\", "") for value in shown)


def _outlook(data: bytes) -> Iterator[Piece | LeftOut]:
    import oxmsg

    message = oxmsg.Message.load(io.BytesIO(data))
    yield Piece("subject", message.subject or "")
    yield Piece("from", message.sender or "")
    yield Piece("to", "\n".join(recipient.name for recipient in message.recipients))
    if message.body:
        yield Piece("body", message.body)
    elif message.html_body:
        yield from page_texts(message.html_body, "body")
    for attachment in message.attachments:
        yield Piece("attachment", attachment.file_name or "")
