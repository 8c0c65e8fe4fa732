"""Turns the bytes of a mail into text: transfer encodings, charsets, encoded header words, flowed lines.

Mails declare what they are and are often wrong: a declaration is followed where the bytes agree with it.
"""

import binascii
import codecs
import quopri
import re
from typing import Final

from aegis_dagster.parsing.text.encodings import codec_of, decode

# Charset as declared -> the larger one that its senders really write. Each holds the characters of the declared one.
_LARGER: Final[dict[str, str]] = {
    **dict.fromkeys(("us-ascii", "ascii", "ansi_x3.4-1968", "iso-8859-1", "iso8859-1", "latin1", "latin-1"), "cp1252"),
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis", "ms_kanji"), "cp932"),
    **dict.fromkeys(("gb2312", "gb_2312-80", "gbk", "x-gbk", "cp936", "x-euc-cn", "euc-cn"), "gb18030"),
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987", "ks_c_5601", "ksc5601", "korean"), "cp949"),
    **dict.fromkeys(("big5", "x-x-big5", "cn-big5"), "big5hkscs"),
    **dict.fromkeys(("iso-2022-jp", "csiso2022jp", "iso-2022-jp-1", "iso-2022-jp-ms"), "iso2022_jp_ext"),
    **dict.fromkeys(("iso-8859-9", "latin5"), "cp1254"),
    **dict.fromkeys(("iso-8859-8-i", "iso-8859-8-e"), "iso8859_8"),
    **dict.fromkeys(("iso-8859-11", "tis-620"), "cp874"),
    **dict.fromkeys(("utf8mb4", "utf_8", "unicode-1-1-utf-8", "utf-8-mac"), "utf-8"),
    **dict.fromkeys(("x-mac-roman", "macintosh", "x-macintosh"), "mac_roman"),
}
# Encodings of one byte a character accept nearly any bytes: agreeing with them proves nothing.
_MULTIBYTE: Final = frozenset({"utf-8", "utf-7", "cp932", "gb18030", "cp949", "big5hkscs", "euc_jp", "hz", "johab"})
_JAPANESE_ESCAPES: Final = (b"\x1b$B", b"\x1b$@", b"\x1b(J", b"\x1b$(D", b"\x1b(I")
_KOREAN_ESCAPE: Final = b"\x1b$)C"
_BASE64: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
_NOT_BASE64: Final = bytes(set(range(256)) - _BASE64)
_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=")
_ESCAPE = re.compile(rb"(\x1b[$(][@-Z]|\x1b\$\([@-Z])")
_FOLD = re.compile(r"\r?\n(?=[ \t])")


def header_text(raw: bytes) -> str:
    """A header's value on one line, its encoded words (RFC 2047) decoded."""
    return encoded_words(header_line(raw))


def header_line(raw: bytes) -> str:
    """A header's value on one line; its encoded words stay."""
    return " ".join(_FOLD.sub("", decoded(raw, "")[0]).split())


def encoded_words(line: str) -> str:
    """The line with its encoded words decoded. Neighbours of one charset may share a character."""
    pieces: list[tuple[str, bytes]] = []  # charset and bytes; of plain text, "" and UTF-8
    at = 0
    for word in _ENCODED_WORD.finditer(line):
        between = line[at : word.start()]
        at = word.end()
        if between.strip() or (between and not (pieces and pieces[-1][0])):
            pieces.append(("", between.encode("utf-8", "replace")))
        charset, encoding, text = word[1].partition("*")[0].lower(), word[2].lower(), word[3]
        data = _base64(text.encode("ascii", "replace"))[0] if encoding == "b" else _quoted(text)
        if pieces and pieces[-1][0] == charset:
            pieces[-1] = (charset, pieces[-1][1] + data)
        else:
            pieces.append((charset, data))
    pieces.append(("", line[at:].encode("utf-8", "replace")))
    return " ".join("".join(decoded(data, charset or "utf-8")[0] for charset, data in pieces).split())


def without_transfer_encoding(body: bytes, encoding: str) -> tuple[bytes, bytes]:
    """The bytes of a part, and those that follow its encoded text, as the footers of mailing lists do.

    Damage costs the damaged characters.
    """
    match encoding.strip().lower():
        case "base64":
            return _base64(body)
        case "quoted-printable":
            return quopri.decodestring(body), b""
        case "x-uuencode" | "uuencode" | "x-uue" | "uue":
            return _uuencoded(body), b""
    return body, b""


def decoded(data: bytes, charset: str) -> tuple[str, str]:
    """The text, and a sentence about the charset where it is uncertain ("" otherwise).

    charset: as declared; "" for none.
    """
    declared = charset.strip("\"' ").lower()
    found = _escaped(data) or _byte_order(data)
    if found is not None:
        return found, ""
    codec = _codec(declared)
    utf8 = _strictly(data, "utf-8")
    if codec is None:
        text, taken = (utf8, "UTF-8") if utf8 is not None else _detected(data)
        unknown = f"The charset `{declared}` of a part is unknown; it was read as {taken}."
        plain = data.isascii() or declared in ("", "unknown-8bit", "x-unknown", "binary", "8bit")
        return text, "" if plain and utf8 is not None else unknown if declared else _guessed("no charset", taken)
    if utf8 is not None and codec not in _MULTIBYTE:
        return (_strictly(data, codec) or utf8) if data.isascii() else utf8, ""
    as_declared = _strictly(data, codec)
    if as_declared is not None:
        return as_declared, ""
    if utf8 is not None:
        return utf8, ""
    replaced = data.decode(codec, "replace")
    bad = replaced.count("\ufffd")
    if codec in _MULTIBYTE and bad * 10 <= max(sum(each > "\x7f" for each in replaced), 1):
        return replaced, f"{bad} characters of a part are damaged: they are not {declared}, which the mail declares."
    text, taken = _detected(data)
    return text, _guessed(f"the charset {declared}", taken)


def _detected(data: bytes) -> tuple[str, str]:
    found = decode(data)
    return found.text, found.encoding


def unflowed(text: str, *, delete_space: bool) -> str:
    """A text of `format=flowed` (RFC 3676) with its soft line breaks taken out."""
    lines: list[list[str]] = []  # of pieces
    open_depth = -1  # of the quotation whose last line goes on
    for line in text.replace("\r\n", "\n").split("\n"):
        depth = len(line) - len(line.lstrip(">"))
        content = line[depth:]
        content = content[1:] if content.startswith(" ") else content
        flows = content.endswith(" ") and content != "-- "
        shown = content[:-1] if flows and delete_space else content
        if depth == open_depth and content != "-- ":
            lines[-1].append(shown)
        else:
            lines.append([f"{'>' * depth} {shown}" if depth else shown])
        open_depth = depth if flows else -1
    return "\n".join(map("".join, lines))


def _guessed(what: str, taken: str) -> str:
    return f"A part of the mail has {what}, with which its bytes disagree; it was read as {taken}."


def _codec(declared: str) -> str | None:
    name = _LARGER.get(declared, declared)
    if not name:
        return None
    if codec_of(name) is None:  # unknown, or no encoding of texts: base64, punycode
        return None
    return name if name in _MULTIBYTE else codecs.lookup(name).name


def _strictly(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except (UnicodeError, LookupError):
        return None


def _escaped(data: bytes) -> str | None:
    """A text in 7-bit Japanese or Korean, whatever it declares: its escape sequences are unmistakable."""
    if b"\x1b" not in data:
        return None
    if _KOREAN_ESCAPE in data:
        return data.decode("iso2022_kr", "replace")
    if any(escape in data for escape in _JAPANESE_ESCAPES):
        return _strictly(data, "iso2022_jp_ext") or _with_extensions(data)
    return None


def _with_extensions(data: bytes) -> str:
    """ISO-2022-JP with characters that only Windows has (circled numbers, company signs), as its programs write it."""
    found: list[str] = []
    pieces = _ESCAPE.split(data)  # text, escape, text, ...
    for escape, piece in zip([b"\x1b(B", *pieces[1::2]], pieces[::2], strict=True):
        if escape in (b"\x1b$B", b"\x1b$@"):
            found.append(_to_shift_jis(piece).decode("cp932", "replace"))
        else:
            found.append((escape + piece).decode("iso2022_jp_ext", "replace"))
    return "".join(found)


def _to_shift_jis(piece: bytes) -> bytes:
    """Two-byte characters of JIS X 0208 as Shift JIS places them; bytes that are no such character stay."""
    out, at = bytearray(), 0
    while at + 1 < len(piece):
        row, cell = piece[at], piece[at + 1]
        if not (0x21 <= row <= 0x7E and 0x21 <= cell <= 0x7E):
            out.append(row)
            at += 1
            continue
        lead = (row - 0x21) // 2 + (0x81 if row < 0x5F else 0xC1)
        trail = cell + 0x7E if row % 2 == 0 else cell + (0x1F if cell < 0x60 else 0x20)
        out += bytes((lead, trail))
        at += 2
    return bytes(out + piece[at:])


def _byte_order(data: bytes) -> str | None:
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return decode(data).text.removeprefix("\ufeff")
    return None


def _quoted(text: str) -> bytes:
    return quopri.decodestring(text.replace("_", " ").replace(" ", "=20").encode("utf-8", "replace"), header=False)


def _base64(body: bytes) -> tuple[bytes, bytes]:
    """Decodes to the end of the encoded text. What follows it, if it is no more of the same, stays as it is."""
    end = body.find(b"=")
    if b" " not in body.strip() and (end < 0 or not body[end:].strip(b"=\r\n \t")):
        return b"".join(_pieces([body])), b""  # as nearly always, and long
    lines = body.splitlines()
    end = len(lines)
    for number, line in enumerate(lines):
        if line.rstrip().endswith(b"="):
            end = number + 1
            break
    rest = lines[end:]
    if rest and all(_BASE64.issuperset(line.strip()) and b" " not in line.strip() for line in rest):
        rest, end = [], len(lines)  # joined pieces, each with its own padding
    else:
        first = next((n for n, line in enumerate(lines[:end]) if b" " in line.strip()), None)
        if first is not None and not rest:
            rest, end = lines[first:], first
    data = b"".join(_pieces(lines[:end]))
    return data, b"\n".join(rest).strip()


def _pieces(lines: list[bytes]) -> list[bytes]:
    joined = b"".join(lines)
    clean = joined.translate(None, _NOT_BASE64)
    found: list[bytes] = []
    for piece in clean.split(b"="):
        if len(piece) % 4 == 1:
            piece = piece[:-1]
        found.append(binascii.a2b_base64(piece + b"=" * (-len(piece) % 4)))
    return found


def _uuencoded(body: bytes) -> bytes:
    found = bytearray()
    for line in body.splitlines():
        if line.startswith(b"begin ") or line.strip() in (b"end", b"`", b""):
            continue
        try:
            found += binascii.a2b_uu(line)
        except binascii.Error:
            size = (((line[0] - 32) & 63) * 4 + 5) // 3  # trailing garbage, as email.message allows it
            try:
                found += binascii.a2b_uu(line[:size])
            except binascii.Error:
                continue
    return bytes(found)
