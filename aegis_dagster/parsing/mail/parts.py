"""Takes a mail apart: header fields, texts, attachments. Needs neither docling nor the network.

An own reader of MIME (RFC 2045 to 2049) and no library: real mails break the rules, and hostile ones must cost no more
than their size. Depth and number of parts are limited; what is beyond stays one part that is not read.
"""

import re
from base64 import encodebytes
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.utils import collapse_rfc2231_value
from hashlib import sha256
from typing import Final
from urllib.parse import quote

from aegis_dagster.parsing.mail.signed import signed_content
from aegis_dagster.parsing.mail.text import encoded_words, header_line, header_text, without_transfer_encoding

_MAX_DEPTH: Final = 20  # of parts in parts
_MAX_PARTS: Final = 2_000
_LONGEST_VALUE: Final = 4_000  # characters of a header with parameters; splitting it takes more than linear time
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_MBOX: Final = (b"From ", b">From ")
_GUESSED_BOUNDARY = re.compile(rb"(?m)^--([^\s-][^\r\n]{0,69})\r?\n(?=[Cc]ontent-)")
SIGNED_OR_ENCRYPTED: Final = ("application/pkcs7-mime", "application/x-pkcs7-mime")
# Parts that are read as text although their type says that they are mails.
REPORTS: Final = ("message/delivery-status", "message/disposition-notification", "message/feedback-report")


@dataclass(slots=True)
class Part:
    """A part of a mail, or the mail itself."""

    fields: list[tuple[str, bytes]]  # names in small letters, values as they are
    body: bytes  # still encoded for the transfer
    parts: list["Part"] = field(default_factory=list)  # of a multipart; the mail in a `message/rfc822`
    incomplete: str = ""  # why its parts are not read: a limit
    given_name: str = ""  # of a file, where it is not in the header
    _type: tuple[str, Message] | None = None
    _content: tuple[bytes, bytes] | None = None

    def raw(self, name: str) -> bytes:
        """The value of the first header field with this name (small letters); b"" if there is none."""
        return next((value for each, value in self.fields if each == name), b"")

    def text(self, name: str) -> str:
        """The value of a header field on one line, decoded; "" if there is none."""
        return header_text(self.raw(name))

    @property
    def content_type(self) -> str:
        """As "text/plain", in small letters."""
        return self._typed()[0]

    def parameter(self, name: str, header: str = "content-type") -> str:
        """A parameter of the content type or disposition, decoded (RFC 2231, and RFC 2047, which many use there)."""
        message = self._typed()[1]
        value = message.get_param(name, "", header)
        try:
            return encoded_words(collapse_rfc2231_value(value) if value else "")
        except (ValueError, TypeError):  # a charset or percent sign that is none
            return str(value[2] if isinstance(value, tuple) else value)

    @property
    def disposition(self) -> str:
        """ "attachment", "inline" or ""."""
        return header_line(self.raw("content-disposition")).partition(";")[0].strip().lower()

    @property
    def file_name(self) -> str:
        """The name that the sender gave it, "" for none."""
        return self.given_name or self.parameter("filename", "content-disposition") or self.parameter("name")

    @property
    def content_id(self) -> str:
        """Without its brackets; "" for none."""
        return self.text("content-id").strip("<> ")

    def content(self) -> tuple[bytes, bytes]:
        """Its bytes, and what follows them unencoded; see `without_transfer_encoding`."""
        if self._content is None:
            self._content = without_transfer_encoding(self.body, self.text("content-transfer-encoding"))
        return self._content

    def walk(self) -> Iterator["Part"]:
        """This part and every part in it, in order."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def _typed(self) -> tuple[str, Message]:
        if self._type is None:
            message = Message()
            for name in ("content-type", "content-disposition"):
                if value := header_line(self.raw(name))[:_LONGEST_VALUE]:
                    message[name] = value
            self._type = (message.get_content_type(), message)
        return self._type


def read_parts(data: bytes) -> Part:
    """The mail in these bytes with all its parts."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")):
        if data.startswith(mark):
            data = data.decode(encoding, "replace").encode("utf-8")
    return _Reader().read(data.lstrip(b"\r\n \t"), "text/plain", 0)


def header_fields(data: bytes) -> list[tuple[str, bytes]]:
    """The fields of a header that stands alone."""
    return _header(data)[0]


def to_bytes(part: Part) -> bytes:
    """A mail that was read from something else, as a file that `read_parts` reads. Equal parts give equal bytes."""
    again = {"content-type", "content-disposition"} if part.given_name else {"content-type"}
    lines = [name.encode() + b": " + value.strip() for name, value in part.fields if name not in again]
    kind = part.content_type.encode()
    if not kind.startswith(b"multipart/"):
        if part.given_name:
            lines.append(b"content-disposition: attachment; filename*=utf-8''" + quote(part.given_name).encode())
        lines += [b"content-type: " + part.raw("content-type").strip(), b"content-transfer-encoding: base64"]
        if kind.startswith(b"message/"):
            lines[-1] = b"content-transfer-encoding: 8bit"
            return b"\n".join([*lines, b"", part.body])
        return b"\n".join([*lines, b"", encodebytes(part.content()[0])])
    parts = [to_bytes(each) for each in part.parts]
    boundary = b"part-" + sha256(b"".join(parts)).hexdigest().encode()
    lines += [b"content-type: " + kind + b'; boundary="' + boundary + b'"', b""]
    return b"\n".join([*lines, *(b"--" + boundary + b"\n" + each for each in parts), b"--" + boundary + b"--", b""])


class _Reader:
    """Counts the parts of one mail."""

    def __init__(self) -> None:
        self._parts = 0

    def read(self, data: bytes, default: str, depth: int) -> Part:
        fields, start = _header(data)
        part = Part(fields, data[start:])
        if not part.raw("content-type").strip():
            part.fields.append(("content-type", default.encode()))
        self._parts += 1
        kind = part.content_type
        if kind in SIGNED_OR_ENCRYPTED and depth < _MAX_DEPTH and (signed := signed_content(part.content()[0])):
            part.parts = [self.read(signed, "text/plain", depth + 1)]
            return part
        nested = kind.startswith("multipart/") or (kind.startswith("message/") and kind not in REPORTS)
        if not nested or kind in ("message/partial", "message/external-body"):
            return part
        if depth >= _MAX_DEPTH:
            part.incomplete = f"more than {_MAX_DEPTH} parts are nested in one another"
        elif kind.startswith("message/"):
            part.parts = [self.read(part.content()[0].lstrip(b"\r\n"), "text/plain", depth + 1)]
        else:
            self._divide(part, depth)
        return part

    def _divide(self, part: Part, depth: int) -> None:
        default = "message/rfc822" if part.content_type == "multipart/digest" else "text/plain"
        pieces = _pieces(part.body, part.parameter("boundary").encode("utf-8", "replace"))
        if pieces is None and (guess := _GUESSED_BOUNDARY.search(part.body)):
            pieces = _pieces(part.body, guess[1].rstrip())
        if pieces is None:  # no boundary anywhere: what there is, is text
            plain = [(name, value) for name, value in part.fields if name == "content-transfer-encoding"]
            part.parts = [Part([("content-type", b"text/plain"), *plain], part.body)]
            return
        for piece in pieces:
            if self._parts >= _MAX_PARTS:
                part.incomplete = f"it has more than {_MAX_PARTS:,} parts"
                return
            part.parts.append(self.read(piece, default, depth + 1))


def _header(data: bytes) -> tuple[list[tuple[str, bytes]], int]:
    """The header fields and where the body starts."""
    found: list[tuple[str, int, int]] = []  # name, and where its value starts and ends
    at, body = 0, len(data)
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end + 1
        line = data[at:end]
        if not line.strip():
            body = end
            break
        if line[:1] in b" \t" and found:
            found[-1] = (*found[-1][:2], end)
        elif match := _FIELD.match(line):
            found.append((match[1].decode("ascii").lower(), at + match.end(), end))
        elif found or not line.startswith(_MBOX):  # the empty line before the body is missing
            body = at
            break
        at = end
    return [(name, data[start:stop]) for name, start, stop in found], body


def _pieces(body: bytes, boundary: bytes) -> list[bytes] | None:
    """What stands between the boundaries, and behind the last if it is text; None if there is no boundary."""
    if not boundary.strip():
        return None
    found: list[bytes] = []
    start: int | None = None
    closed = False
    for match in re.finditer(rb"(?m)^--" + re.escape(boundary.rstrip()) + rb"(--)?[ \t]*\r?$", body):
        if start is not None:
            found.append(_without_last_break(body[start : match.start()]))
        start = min(match.end() + 1, len(body))
        closed = match[1] is not None
    if start is None:
        return None
    rest = body[start:]
    if not closed:
        found.append(rest)
    elif rest.strip():
        found.append(b"\n" + rest)  # after the end, where some lists put their footers
    return found


def _without_last_break(piece: bytes) -> bytes:
    return piece[:-2] if piece.endswith(b"\r\n") else piece.removesuffix(b"\n")
