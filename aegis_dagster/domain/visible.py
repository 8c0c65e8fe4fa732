"""Characters that nobody sees, made visible, so that a text cannot act on a terminal or look like another text.

Names, bodies and messages come from strangers: an escape sequence in one of them clears a screen, sets a title or makes
a link, a bidi control turns `exe.pdf` into what it is not. Here is the only list of such characters. How Markdown is
escaped is in `markdown.py`.
"""

import json
import re
from typing import Any

_JOINED_SCRIPTS = "\u0600-\u109f\u1780-\u18af\ua800-\uabff\ufb50-\ufdff"  # Arabic to Myanmar, Khmer and Mongolian
_SYMBOLS = "#*0-9\u00a9\u00ae\u2030-\u2bff\u3030-\u303d\u3297\u3299\U0001f000-\U0001faff"
_INVISIBLE = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # soft hyphen, joiners and fillers
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f"  # bidi controls, zero width, separators of lines
    "\ufe00-\ufe0f\ufeff\ufff0-\ufffb"  # variation selectors, byte order mark, annotations
    "\ud800-\udfff"  # bytes of a name that are not UTF-8
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # formats of shorthand and of music
    "\U000e0000-\U000e0fff"  # tags, which can spell a hidden text
)
# Where they change how a visible character looks, they stay: Persian and Hindi need joiners, an emoji its parts.
_NEEDED = (
    f"(?<=[{_JOINED_SCRIPTS}])[\u200c\u200d](?=[{_JOINED_SCRIPTS}])"
    f"|(?<=[{_SYMBOLS}\ufe0f])\u200d(?=[{_SYMBOLS}])"
    f"|(?<=[{_SYMBOLS}])[\ufe0e\ufe0f]"
)
_CHARACTER = re.compile(f"({_NEEDED})|[{_INVISIBLE}]")
_RAW_IN_JSON = re.compile(f"[{_INVISIBLE}]")
_WRITTEN = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """A name or a message in one line: whatever cannot be seen is written as \\x1b or <U+202E>."""
    return text if text.isascii() and text.isprintable() else _CHARACTER.sub(_shown, text)


def visible_lines(text: str) -> str:
    """A text of several lines: its line breaks and tabs stay."""
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in text.replace("\r\n", "\n").split("\n"))


def visible_json(values: Any) -> str:
    """A value as JSON in one line that can be seen and parses to exactly this value."""
    return _RAW_IN_JSON.sub(lambda found: json.dumps(found[0])[1:-1], json.dumps(values, ensure_ascii=False))


def _shown(found: re.Match[str]) -> str:
    character = found[0]
    if found[1]:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python reads a byte of a name that is not UTF-8
        code -= 0xDC00
    return _WRITTEN.get(character) or (f"\\x{code:02x}" if code < 0x100 and code != 0xAD else f"<U+{code:04X}>")
