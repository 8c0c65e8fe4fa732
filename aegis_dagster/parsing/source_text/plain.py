"""The text of files that are text, by lines."""

import re
from collections.abc import Iterator

from aegis_dagster.domain.left_out import Piece
from aegis_dagster.parsing import plain_text

_LINES = 20  # of a piece: a place that a person finds at once
_DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9._:-]{2,40})""")
_HEAD_BYTES = 1024


def read(data: bytes, kind: str) -> Iterator[Piece]:
    """The lines of a text."""
    yield from pieces_by_lines(decode(data))


def pieces_by_lines(text: str) -> Iterator[Piece]:
    """A text in pieces of some lines."""
    lines = text.splitlines()
    for start in range(0, len(lines), _LINES):
        end = min(start + _LINES, len(lines))
        place = f"lines {start + 1} to {end}" if end > start + 1 else f"line {end}"
        yield Piece(place, "\n".join(lines[start:end]))


def decode(data: bytes) -> str:
    """The text of the bytes: by the encoding that the head declares, else as plain text."""
    declared = _DECLARED.search(data[:_HEAD_BYTES]) if data[:_HEAD_BYTES].lstrip().startswith(b"<") else None
    if declared is not None:
        try:
            return data.decode(declared[1].decode("ascii"))
        except (LookupError, UnicodeDecodeError):
            pass
    return plain_text.decode(data)[0]
