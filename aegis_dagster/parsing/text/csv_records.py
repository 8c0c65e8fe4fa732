"""Reads the records of a CSV text: the delimiter it uses, its quotes, and what is wrong with single lines. Pure.

Programs write what they like under this name, so nothing fails: a quote that is never closed costs its line only, and
a quote inside a field is a character (`12" pipe`). The standard library's reader has one limit of the size of a field
for the whole process, and loses the rest of the file after an open quote.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_DELIMITERS: Final = ("\t", ";", "|", ",")  # of two that fit alike the first: a comma may be that of a number
_SEPARATOR_LINE: Final = re.compile(r'"?sep=(?P<delimiter>[^\n])"?[ \t]*(?:\n|\Z)', re.IGNORECASE)
_SAMPLE: Final = 200_000  # characters
_SAMPLE_RECORDS: Final = 500
_AGREEMENT: Final = 0.4  # of the records, that are as wide as one beside them


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a table, or several lines where a quoted field goes on over them."""

    line: int  # 1-based, the first of its lines
    cells: list[str]
    broken: bool = False  # by a quote that is never closed

    @property
    def is_blank(self) -> bool:
        """Whether nothing is in it."""
        return not any(self.cells)

    @property
    def width(self) -> int:
        """The number of cells up to the last that is not empty."""
        return next((at for at in range(len(self.cells), 0, -1) if self.cells[at - 1]), 0)


@dataclass(frozen=True, slots=True)
class Records:
    """The records of a text."""

    delimiter: str | None  # None: one column
    records: list[Record]
    separator_line: str = ""  # `sep=;`, by which a program tells Excel the delimiter


def read_records(text: str, *, tabs: bool = False) -> Records:
    """The records of a CSV text. `tabs`: its name says that tabs divide its fields."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    declared = _SEPARATOR_LINE.match(text)
    if declared:
        delimiter: str | None = declared["delimiter"]
        start, first_line = declared.end(), 2
    else:
        delimiter = _delimiter_of(text, tabs=tabs)
        start, first_line = 0, 1
    scanner = _Scanner(text, delimiter or "\0", start, first_line)
    records = list(scanner.records())
    return Records(delimiter, records, declared[0].strip() if declared else "")


def _delimiter_of(text: str, *, tabs: bool) -> str | None:
    """The delimiter by which neighbouring lines have equally many fields."""
    sample = text if len(text) <= _SAMPLE else text[: text.rfind("\n", 0, _SAMPLE) + 1] or text
    best, fits = None, 0.0
    for delimiter in _DELIMITERS:
        if delimiter not in sample:
            continue
        agreement = _agreement(sample, delimiter)
        if tabs and delimiter == "\t" and agreement >= _AGREEMENT:
            return delimiter
        if agreement > fits:
            best, fits = delimiter, agreement
    return best if fits >= _AGREEMENT else None


def _agreement(sample: str, delimiter: str) -> float:
    """The share of records that have several fields, as many as a record beside them."""
    widths = []
    for record in _Scanner(sample, delimiter, 0, 1).records():
        if not record.is_blank:
            widths.append(len(record.cells))
        if len(widths) == _SAMPLE_RECORDS:
            break
    if len(widths) <= 2:
        return max(widths, default=0) > 1
    beside = zip([0, *widths], widths, [*widths[1:], 0], strict=False)
    return sum(width > 1 and width in (before, after) for before, width, after in beside) / len(widths)


class _Scanner:
    """Walks the text once. What lines it looks at in vain, for the end of a quoted field, is bounded."""

    def __init__(self, text: str, delimiter: str, start: int, first_line: int) -> None:
        self._text = text
        self._delimiter = delimiter
        self._at = start
        self._line = first_line
        self._in_vain = 2 * len(text) + 100_000  # characters that may still be
        self._widths: dict[int, int] = {}  # how many records have each width

    def records(self) -> Iterator[Record]:
        """Every record, blank ones included."""
        text, delimiter = self._text, self._delimiter
        while self._at < len(text):
            end = text.find("\n", self._at)
            end = len(text) if end < 0 else end
            if text.find('"', self._at, end) < 0:
                cells, after, broken = text[self._at : end].split(delimiter), end, False
            else:
                cells, after, broken = self._quoted(self._at, end)
            yield Record(self._line, [_plain(cell) for cell in cells], broken)
            self._widths[len(cells)] = self._widths.get(len(cells), 0) + 1
            self._line += text.count("\n", self._at, after) + 1
            self._at = after + 1

    def _quoted(self, start: int, end: int) -> tuple[list[str], int, bool]:
        """The cells of a record with quotes, where it ends, and whether a quote stays open."""
        cells, after, broken = self._fields(start, end, whole=True)
        if after > end:
            # A field that goes on over lines. If one line alone has the width of the table, its quote was left open.
            alone = self._fields(start, end, whole=False)[0]
            usual = max(self._widths, key=lambda width: self._widths[width], default=0)
            if len(alone) == usual != len(cells):
                self._in_vain -= after - start
                return alone, end, True
        return cells, after, broken

    def _fields(self, start: int, end: int, *, whole: bool) -> tuple[list[str], int, bool]:
        text, delimiter = self._text, self._delimiter
        cells: list[str] = []
        at, broken = start, False
        while True:
            opening = at
            while opening < end and text[opening] == " ":
                opening += 1
            closing = None
            if text[opening : opening + 1] == '"' and opening < end:
                closing = self._closing(opening + 1, end, whole=whole)
                broken = broken or closing is None
            if closing is not None:
                cells.append(text[opening + 1 : closing].replace('""', '"'))
                at = closing + 1
                if closing > end:
                    end = text.find("\n", closing)
                    end = len(text) if end < 0 else end
                while at < end and text[at] == " ":
                    at += 1
            else:
                following = text.find(delimiter, at, end)
                following = end if following < 0 else following
                cells.append(text[at:following])
                at = following
            if at >= end:
                return cells, end, broken
            at += 1  # the delimiter

    def _closing(self, start: int, end: int, *, whole: bool) -> int | None:
        """Where the quote is that ends a field, if there is one before another field begins with a quote."""
        text, at = self._text, start
        limit = len(text) if whole and self._in_vain > 0 else end
        while (quote := text.find('"', at, limit)) >= 0:
            doubled = text[quote + 1 : quote + 2] == '"'
            after = quote + (2 if doubled else 1)
            while text[after : after + 1] == " ":
                after += 1
            ends = after >= len(text) or text[after] in (self._delimiter, "\n")
            if not doubled and ends:
                return quote
            begins = text[quote - 1] in (self._delimiter, "\n")
            if quote > end and begins and (ends or not doubled):
                break
            at = quote + (2 if doubled else 1)
        self._in_vain -= (len(text) if quote < 0 else quote) - start
        return None


def _plain(cell: str) -> str:
    """A cell on one line, without white space around it."""
    return " ".join(cell.split("\n")).strip() if "\n" in cell else cell.strip()
