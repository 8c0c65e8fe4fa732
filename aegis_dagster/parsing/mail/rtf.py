"""Text of a mail that Outlook stored as compressed RTF only (MS-OXRTFCP, and MS-OXRTFEX for HTML in it)."""

import re
import struct
from typing import Final

_DICTIONARY: Final = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor "
    rb"MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0" + b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_MOST: Final = 50_000_000  # bytes of a decompressed text
_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|[\r\n]+|([^\\{}\r\n]+)"
)
# Groups whose content nobody reads.
_UNREAD: Final = {
    *("fonttbl", "colortbl", "stylesheet", "info", "pict", "object", "header", "footer", "generator", "themedata"),
    *("listtable", "listoverridetable", "rsidtbl", "xmlnstbl", "fldinst", "datastore", "latentstyles", "pntext"),
}
_BREAKS: Final = {"par": "\n", "line": "\n", "row": "\n", "sect": "\n", "page": "\n", "tab": "\t", "cell": "\t"}
_SIGNS: Final = {"lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "bullet": "•"} | {
    "endash": "–",
    "emdash": "—",
}


def text_of_compressed_rtf(data: bytes) -> str:
    """The text; "" if there is none, or it is damaged."""
    if len(data) < 16:
        return ""
    size, kind = struct.unpack_from("<4xI4s", data)
    rtf = data[16 : 16 + size] if kind == b"MELA" else _decompressed(data[16:], size) if kind == b"LZFu" else b""
    return _text(rtf).strip()


def _decompressed(data: bytes, size: int) -> bytes:
    """References into a ring of 4,096 bytes, eight to a control byte."""
    ring = bytearray(_DICTIONARY.ljust(4096, b"\0"))
    out, write, at = bytearray(), len(_DICTIONARY), 0
    size = min(size, _MOST)
    while at < len(data) and len(out) < size:
        control = data[at]
        at += 1
        for bit in range(8):
            if at >= len(data):
                break
            if not control >> bit & 1:
                piece = data[at : at + 1]
                at += 1
            else:
                if at + 1 >= len(data):
                    return bytes(out)
                reference = data[at] << 8 | data[at + 1]
                at += 2
                start, length = reference >> 4, (reference & 15) + 2
                if start == write:  # the end
                    return bytes(out)
                taken = bytearray()
                for number in range(length):
                    byte = ring[(start + number) % 4096]
                    taken.append(byte)
                    ring[write] = byte
                    write = (write + 1) % 4096
                out += taken
                continue
            ring[write] = piece[0]
            write = (write + 1) % 4096
            out += piece
    return bytes(out)


def _text(rtf: bytes) -> str:
    """The text that the RTF shows. Of HTML that it carries, its tags are left out with their groups (`htmltag`)."""
    out: list[str] = []
    waiting = bytearray()  # bytes in the code page
    codec, hidden, depth, skip = "cp1252", 0, 0, 0  # hidden: depth of the group that nobody reads, 0 for none

    def flush() -> None:
        out.append(waiting.decode(codec, "replace"))
        waiting.clear()

    for match in _TOKEN.finditer(rtf):
        word, number, code, sign, brace, plain = match.groups()
        if brace:
            depth += 1 if brace == b"{" else -1
            hidden = 0 if depth < hidden else hidden
        elif hidden:
            continue
        elif code:
            if skip:
                skip -= 1
            else:
                waiting.append(int(code, 16))
        elif plain:
            waiting += plain[skip:]
            skip = 0
        elif sign:
            if sign == b"*":
                hidden = depth
            elif sign in b"\\{}":
                waiting += sign
            elif sign == b"~":
                waiting += b" "
        elif word:
            name = word.decode("ascii")
            if name in _UNREAD:
                hidden = depth
            elif name in _BREAKS or name in _SIGNS:
                flush()
                out.append(_BREAKS.get(name) or _SIGNS[name])
            elif name == "ansicpg" and number:
                flush()
                codec = _codec(int(number)) or codec
            elif name == "u" and number:
                flush()
                out.append(chr(int(number) % 65536))
                skip = 1
    flush()
    text = "".join(out).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return re.sub(r"[ \t]+\n", "\n", text)


def _codec(page: int) -> str:
    try:
        b"".decode(f"cp{page}")
    except LookupError:
        return "utf-8" if page == 65001 else ""
    return f"cp{page}"
