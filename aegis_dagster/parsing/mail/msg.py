"""Reads Outlook's .msg (MS-OXMSG): a mail as properties in a compound file, made into the parts of any other mail."""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

from aegis_dagster.errors import DocumentError
from aegis_dagster.parsing.checks import corrupt
from aegis_dagster.parsing.mail.parts import SIGNED_OR_ENCRYPTED, Part, header_fields, read_parts, to_bytes
from aegis_dagster.parsing.mail.rtf import text_of_compressed_rtf
from aegis_dagster.parsing.mail.signed import signed_content

if TYPE_CHECKING:
    from oxmsg.storage import Storage

# Property ids (MS-OXPROPS).
_SUBJECT, _BODY, _HTML, _RTF, _HEADERS = 0x0037, 0x1000, 0x1013, 0x1009, 0x007D
_SENDER_NAME, _SENDER_ADDRESS, _SENDER_SMTP = 0x0C1A, 0x0C1F, 0x5D01
_SENT, _DELIVERED = 0x0039, 0x0E06
_NAME, _ADDRESS, _SMTP, _RECIPIENT_TYPE = 0x3001, 0x3003, 0x39FE, 0x0C15
_LONG_NAME, _SHORT_NAME, _MIME, _DATA, _CONTENT_ID = 0x3707, 0x3704, 0x370E, 0x3701, 0x3712
_CODEPAGES: Final = (0x3FDE, 0x3FFD)  # of the body, of the message
_RECIPIENTS: Final = {1: "to", 2: "cc", 3: "bcc"}
_NESTED: Final = "__substg1.0_3701000D"  # a mail that is attached
_TOP, _INNER, _OF_A_PART = 32, 24, 8  # bytes before the first property
_DEEPEST: Final = 20
_KEPT: Final = ("from", "to", "cc", "reply-to", "date", "subject", "sender")


def read_msg(data: bytes) -> Part:
    """The mail in a .msg file. Raises DocumentError CORRUPT_FILE."""
    from olefile import OleFileIO
    from oxmsg.storage import Storage

    try:
        with OleFileIO(data) as ole:
            # Streams may share their sectors: a small file could then hold any amount.
            if sum(entry.size for entry in ole.direntries if entry is not None and entry.entry_type == 2) > len(data):
                raise corrupt("its streams are larger than the file.")
            root = Storage.from_ole(ole)
        return _mail(root, _TOP, 0)
    except (DocumentError, MemoryError):
        raise
    except Exception as error:  # olefile raises what the damage leads to, from OSError to struct.error
        raise corrupt(f"the reader of .msg files stopped with {type(error).__name__}.") from error


def _mail(storage: "Storage", offset: int, depth: int) -> Part:
    values = _Values(storage, offset)
    fields = list(_fields(values, storage))
    text, html = values.text(_BODY), _html(values)
    bodies = []
    if text.strip():
        bodies.append(_leaf("text/plain; charset=utf-8", text.encode("utf-8", "replace")))
    if html.strip():
        bodies.append(_leaf("text/html; charset=utf-8", html))
    if not bodies and (written := text_of_compressed_rtf(values.data(_RTF))):
        bodies.append(_leaf("text/plain; charset=utf-8", written.encode("utf-8", "replace")))
    body = Part([("content-type", b"multipart/alternative")], b"", bodies)
    attached = [_attachment(each, depth) for each in _below(storage, "__attach_version1.0_#")]
    return Part([*fields, ("content-type", b"multipart/related")], b"", [body, *attached])


def _fields(values: "_Values", storage: "Storage") -> Iterator[tuple[str, bytes]]:
    """The header that came with the mail; of a mail that was never sent, what the properties say."""
    sent = header_fields(values.text(_HEADERS).encode("utf-8", "replace"))
    kept = {name: value for name, value in reversed(sent) if name in _KEPT}
    people: dict[str, list[str]] = {}
    for recipient in _below(storage, "__recip_version1.0_#"):
        each = _Values(recipient, _OF_A_PART, values.codec)
        shown = _person(each.text(_NAME), each.text(_SMTP) or each.text(_ADDRESS))
        if shown:
            people.setdefault(_RECIPIENTS.get(each.number(_RECIPIENT_TYPE), "to"), []).append(shown)
    sender = _person(values.text(_SENDER_NAME), values.text(_SENDER_SMTP) or values.text(_SENDER_ADDRESS))
    said = {"from": sender, **{name: ", ".join(shown) for name, shown in people.items()}, "date": _date(values)}
    for name, value in said.items():
        if value and not kept.get(name, b"").strip():
            kept[name] = _one_line(value)
    if subject := values.text(_SUBJECT):
        kept["subject"] = _one_line(subject)
    yield from kept.items()


def _attachment(storage: "Storage", depth: int) -> Part:
    values = _Values(storage, _OF_A_PART)
    name = values.text(_LONG_NAME) or values.text(_SHORT_NAME) or values.text(_NAME)
    inner = next((each for each in storage.storages if each.name == _NESTED), None)
    fields = [("content-disposition", b"attachment")]
    if inner is not None:
        part = Part([*fields, ("content-type", b"message/rfc822")], b"")
        if depth >= _DEEPEST:
            part.incomplete = f"more than {_DEEPEST} mails are nested in one another"
            return part
        part.parts = [_mail(inner, _INNER, depth + 1)]
        part.body = to_bytes(part.parts[0])
        return part
    kind = values.text(_MIME).strip().lower() or "application/octet-stream"
    data = values.data(_DATA)
    if kind.startswith("multipart/"):  # a signed mail: all its parts, with their header
        return read_parts(data)
    if kind in SIGNED_OR_ENCRYPTED and (signed := signed_content(data)):
        return read_parts(signed)
    part = Part([*fields, ("content-type", _one_line(kind))], data)
    if cited := values.text(_CONTENT_ID):
        part.fields.append(("content-id", _one_line(cited)))
    part.given_name = name
    return part


def _html(values: "_Values") -> bytes:
    if data := values.data(_HTML):
        return values.decoded(data).encode("utf-8", "replace")
    return values.text(_HTML).encode("utf-8", "replace")


def _leaf(kind: str, body: bytes) -> Part:
    return Part([("content-type", kind.encode())], body)


def _below(storage: "Storage", start: str) -> Iterator["Storage"]:
    yield from (each for each in storage.storages if each.name.startswith(start))


def _person(name: str, address: str) -> str:
    """As "Name <address>"; an address of Exchange (X.500) says nothing."""
    address = "" if address.lower().startswith("/o=") else address
    return f"{name} <{address}>" if name and address and name != address else name or address


def _one_line(text: str) -> bytes:
    return " ".join(text.split()).encode("utf-8", "replace")


def _date(values: "_Values") -> str:
    ticks = values.long(_SENT) or values.long(_DELIVERED)
    try:
        moment = datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=ticks // 10)
    except OverflowError:
        return ""
    return format_datetime(moment) if ticks else ""


class _Values:
    """The properties of a message, recipient or attachment; what is missing or damaged is empty."""

    def __init__(self, storage: "Storage", offset: int, codec: str = "") -> None:
        self._streams = {stream.name: stream.bytes_ for stream in storage.streams}
        entries = self._streams.get("__properties_version1.0", b"")[offset:]
        self._fixed = {
            struct.unpack_from("<H", entries, at + 2)[0]: entries[at + 8 : at + 16]
            for at in range(0, len(entries) - 15, 16)
        }
        page = next((found for each in _CODEPAGES if (found := self.number(each))), 0)
        self.codec = _codec(page) or codec or "cp1252"

    def text(self, property_id: int) -> str:
        """A property that is text, "" if it is not there."""
        wide = self._streams.get(f"__substg1.0_{property_id:04X}001F")
        if wide is not None:
            return wide.decode("utf-16-le", "replace").rstrip("\0")
        return self.decoded(self._streams.get(f"__substg1.0_{property_id:04X}001E", b"")).rstrip("\0")

    def decoded(self, data: bytes) -> str:
        """Bytes in the encoding of the message."""
        return data.decode(self.codec, "replace")

    def data(self, property_id: int) -> bytes:
        """A property that is bytes."""
        return self._streams.get(f"__substg1.0_{property_id:04X}0102", b"")

    def number(self, property_id: int) -> int:
        """A property that is a number; 0 if it is not there."""
        return int.from_bytes(self._fixed.get(property_id, b"")[:4], "little")

    def long(self, property_id: int) -> int:
        """A property of eight bytes; 0 if it is not there."""
        return int.from_bytes(self._fixed.get(property_id, b""), "little")


def _codec(page: int) -> str:
    import codecs

    named = {65001: "utf-8", 20127: "cp1252", 28591: "cp1252", 50220: "iso2022_jp_ext", 51932: "euc_jp", 936: "gb18030"}
    name = named.get(page) or (f"iso8859_{page - 28590}" if 28591 < page <= 28606 else f"cp{page}")
    try:
        return codecs.lookup(name).name
    except LookupError:
        return ""
