"""The text of files that are text, by lines."""

import re
from collections.abc import Iterator

from aegis_dagster.domain.left_out import Piece
from aegis_dagster.parsing.text.encodings import decode

_COLOURS = re.compile(r"\x1b\[[\d;?]{0,30}[A-Za-z]")  # of a terminal
_LINES = 20  # of a piece: a place that a person finds at once


def read(data: bytes, kind: str) -> Iterator[Piece]:
    """The lines of a text."""
    yield from pieces_by_lines(_COLOURS.sub("", decode(data).text))


def pieces_by_lines(text: str) -> Iterator[Piece]:
    """A text in pieces of some lines."""
    lines = text.splitlines()
    for start in range(0, len(lines), _LINES):
        end = min(start + _LINES, len(lines))
        place = f"lines {start + 1} to {end}" if end > start + 1 else f"line {end}"
        yield Piece(place, "\n".join(lines[start:end]))
