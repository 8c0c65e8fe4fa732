"""Whether the rows of tables stay whole: a label and its first number on one line of a chunk.

The rows come from text laid out as on the page, by another program than the one that made the chunks.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

_GAP = re.compile(r"\s{2,}|(?:\s?\.){3,}\s*|\s*[$€£]\s*")
_NUMBER = re.compile(r"[(\s—–-]*(\d[\d,.]*)[)%\s]*(?:\(\w\)|\*)?")
_WORD = re.compile(r"[^\W\d_]{2,}")
_TOKEN = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class Row:
    """A line with a label before a number."""

    label: str
    number: str


def rows_of(layout: str) -> list[Row]:
    """The rows of text whose columns stand apart by two or more spaces, dots or a currency sign."""
    rows = []
    for line in layout.splitlines():
        parts = [part for part in _GAP.split(line.strip()) if part.strip()]
        for label, after in pairwise(parts):
            number = _NUMBER.fullmatch(after)
            if number and _WORD.search(label):
                rows.append(Row(label, number[1].rstrip(".,")))
                break
    return rows


def tokens(text: str) -> list[str]:
    """Words and numbers, without regard to case and punctuation."""
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())


def is_whole(row: Row, lines: Iterable[Sequence[str]]) -> bool:
    """Whether a line, in tokens, has the label's words in their order and the number after them."""
    label, number = tokens(row.label), tokens(row.number)[0]
    for line in lines:
        if number not in line or label[0] not in line:
            continue
        for start in range(len(line) - len(label)):
            end = start + len(label)
            if list(line[start:end]) == label and number in line[end:]:
                return True
    return False


def layout_of(data: bytes) -> str:
    """The text of a PDF, line by line, with two spaces where a gap is wider than a letter; by pdfium."""
    import pypdfium2

    lines: list[str] = []
    for page in pypdfium2.PdfDocument(data):
        text = page.get_textpage()
        shown = text.get_text_range()
        boxes = [(text.get_charbox(n, loose=True), shown[n]) for n in range(min(text.count_chars(), len(shown)))]
        rows: list[list[tuple[tuple[float, float, float, float], str]]] = []
        for box, letter in sorted(boxes, key=lambda place: -(place[0][1] + place[0][3])):
            if letter.isspace():
                continue
            if rows and rows[-1][0][0][1] < (box[1] + box[3]) / 2 < rows[-1][0][0][3]:
                rows[-1].append((box, letter))
            else:
                rows.append([(box, letter)])
        lines += [_line(sorted(row)) for row in rows]
    return "\n".join(lines)


def _line(row: Sequence[tuple[tuple[float, float, float, float], str]]) -> str:
    line, reached = "", row[0][0][0]
    for (left, bottom, right, top), letter in row:
        gap = (left - reached) / max(top - bottom, 1.0)
        line += ("  " if gap > 0.9 else " " if gap > 0.12 else "") + letter
        reached = right
    return line
