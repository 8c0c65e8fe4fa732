"""Layout by rules, one page at a time: from text fragments to lines to blocks. Pure.

All coordinates are PDF points (1/72 inch) with the origin at the page's top-left corner.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import median


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle, in points from the page's top-left corner."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def area(self) -> float:
        return max(0.0, self.width) * max(0.0, self.height)

    def overlap(self, other: "Rect") -> float:
        """The area that both cover, in square points."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)

    def holds_center_of(self, other: "Rect") -> bool:
        """Whether the centre of `other` lies inside."""
        x, y = (other.left + other.right) / 2, (other.top + other.bottom) / 2
        return self.left <= x <= self.right and self.top <= y <= self.bottom

    def touches(self, other: "Rect", margin: float) -> bool:
        """Whether the two come closer than `margin` points."""
        return (
            self.left - margin <= other.right
            and other.left - margin <= self.right
            and self.top - margin <= other.bottom
            and other.top - margin <= self.bottom
        )


def enclosing(rects: Sequence[Rect]) -> Rect:
    """The smallest rectangle around all. At least one is needed."""
    return Rect(
        min(rect.left for rect in rects),
        min(rect.top for rect in rects),
        max(rect.right for rect in rects),
        max(rect.bottom for rect in rects),
    )


@dataclass(frozen=True, slots=True)
class Fragment:
    """A run of text in one font on one line, as the PDF parser gives it."""

    text: str
    rect: Rect
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text in one column."""

    text: str
    rect: Rect
    bold: bool  # most of its characters
    letters: float = 0.0  # points; the height of the letters of a line that is turned
    apart: bool = False  # turned against its page, or a watermark: no part of the text around it

    @property
    def size(self) -> float:
        """Height in points; stands for the font size, which parsers report for the first glyph only."""
        return self.letters or self.rect.height


class BlockLabel(StrEnum):
    """What a block is; the values are docling's labels."""

    TEXT = "text"
    LIST_ITEM = "list_item"
    CAPTION = "caption"
    HEADING = "section_header"
    PAGE_HEADER = "page_header"
    PAGE_FOOTER = "page_footer"


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Lines that belong together: a paragraph, a list item, a heading."""

    lines: tuple[Line, ...]
    label: BlockLabel

    @property
    def rect(self) -> Rect:
        return enclosing([line.rect for line in self.lines])

    @property
    def text(self) -> str:
        return " ".join(line.text for line in self.lines)

    @property
    def size(self) -> float:
        """Median height of its lines, in points."""
        return median(line.size for line in self.lines)

    @property
    def bold(self) -> bool:
        return sum(len(line.text) for line in self.lines if line.bold) * 2 > sum(len(line.text) for line in self.lines)


_LIST_MARKER = re.compile(
    r"(?:[•●○▪◦‣⁃·∙■□◆➢➔✓¥\uf0b7\uf0a7–*-]|\(?(?:\d{1,2}|[a-zA-Z]|[ivx]{1,4})[.)])\s+\S"  # ¥: a bullet in Mac fonts
)
# Bullets of symbol fonts arrive as other characters; the reader should see a bullet.
_SYMBOL_BULLET = re.compile(r"[●○▪◦‣⁃∙■□◆➢➔✓¥\uf0b7\uf0a7](?=\s+\S)")
_CAPTION = re.compile(r"(?:figure|fig\.|table|abbildung|abb\.|tabelle|tab\.)\s*\d+\s*[.:–-]", re.IGNORECASE)

# All below are multiples of the line height, measured on the corpora, where single spacing leaves gaps of
# 0.2-0.6, paragraphs 0.7 and more, words 0.2-0.4 and columns 1.5 and more.
_WORD_GAP = 0.12
_COLUMN_GAP = 1.0
_PARAGRAPH_GAP = 0.75
_WIDE_GAP = 1.4  # between the lines of a paragraph set with wide leading
_PROSE_WIDTH = 20.0  # the lines of a paragraph are wider
_RAGGED = 5.0  # so far from the right edge a line of running text may end
_INDENT = 0.8
_SIZE_TOLERANCE = 0.12


def build_blocks(lines: Sequence[Line]) -> list[TextBlock]:
    """The blocks of one page's lines, given from top to bottom. No line is lost."""
    return [TextBlock(tuple(group), _label(group)) for group in _group_lines(lines)]


def build_lines(fragments: Sequence[Fragment]) -> list[Line]:
    """Join fragments that stand side by side, less than a column's gap apart; top to bottom, left to right."""
    waiting = sorted((f for f in fragments if f.text.strip()), key=lambda f: (f.rect.left, f.rect.top))
    rows: list[list[Fragment]] = []
    for fragment in waiting:
        row = min(
            (row for row in rows if _continues_row(row[-1].rect, fragment.rect)),
            key=lambda row: abs(row[-1].rect.top - fragment.rect.top),
            default=None,
        )
        if row is None:
            rows.append([fragment])
        else:
            row.append(fragment)
    return sorted((_line_of(row) for row in rows), key=lambda line: (line.rect.top, line.rect.left))


def _continues_row(last: Rect, following: Rect) -> bool:
    height = min(last.height, following.height)
    shared = min(last.bottom, following.bottom) - max(last.top, following.top)
    gap = following.left - last.right
    return shared > 0.5 * height and -height < gap < _COLUMN_GAP * max(last.height, following.height)


def _line_of(row: Sequence[Fragment]) -> Line:
    rect = enclosing([fragment.rect for fragment in row])
    ordered = list(reversed(row)) if runs_right_to_left("".join(fragment.text for fragment in row)) else list(row)
    text = ordered[0].text.strip()
    for before, after in pairwise(ordered):
        gap = max(after.rect.left - before.rect.right, before.rect.left - after.rect.right)
        spaced = before.text[-1:].isspace() or after.text[:1].isspace() or gap > _WORD_GAP * rect.height
        text += (" " if spaced else "") + after.text.strip()
    bold = sum(len(fragment.text) for fragment in row if fragment.bold) * 2 > sum(len(f.text) for f in row)
    # The tallest fragment would let one raised note number make a line of text look like a heading.
    widest = max(row, key=lambda fragment: fragment.rect.width)
    text = _SYMBOL_BULLET.sub("•", text, count=1) if _SYMBOL_BULLET.match(text) else text
    return Line(text, Rect(rect.left, widest.rect.top, rect.right, widest.rect.bottom), bold)


def _group_lines(lines: Sequence[Line]) -> list[list[Line]]:
    groups: list[list[Line]] = []
    reach: dict[int, float] = {}  # how far to the right the lines go that begin at one place
    for line in lines:
        reach[_place(line)] = max(reach.get(_place(line), 0.0), line.rect.right)
    for line in lines:
        above = [group for group in groups if _shares_column(group[-1].rect, line.rect)]
        # The nearest line above decides; it cuts off everything farther up.
        nearest = max(above, key=lambda group: group[-1].rect.bottom, default=None)
        if nearest is not None and _continues_block(nearest, line, reach[_place(nearest[-1])]):
            nearest.append(line)
        else:
            groups.append([line])
    return groups


def _place(line: Line) -> int:
    return round(line.rect.left / 4)


def _shares_column(above: Rect, below: Rect) -> bool:
    shared = min(above.right, below.right) - max(above.left, below.left)
    return shared > 0.3 * min(above.width, below.width) and above.top < below.top


def _continues_block(block: Sequence[Line], line: Line, reach: float) -> bool:
    last = block[-1]
    height = max(last.size, line.size)
    if line.rect.top - last.rect.bottom > _PARAGRAPH_GAP * height and not _runs_on(block, line, reach):
        return False
    if abs(line.size - last.size) > _SIZE_TOLERANCE * height and not _same_font_without_tails(last, line):
        return False
    if line.bold != last.bold or is_list_item(line.text):
        return False
    indented = line.rect.left - last.rect.left > _INDENT * height
    centered = abs((line.rect.left + line.rect.right) - (last.rect.left + last.rect.right)) < height
    hanging = is_list_item(block[0].text) and len(block) == 1
    right_aligned = abs(line.rect.right - last.rect.right) < height
    return not indented or centered or hanging or right_aligned


def _runs_on(block: Sequence[Line], line: Line, reach: float) -> bool:
    """Whether a line goes on with a paragraph whose lines stand far apart: the one above it ends at the right edge."""
    last = block[-1]
    gap = line.rect.top - last.rect.bottom
    before = last.rect.top - block[-2].rect.bottom if len(block) > 1 else gap
    begins_below = abs(line.rect.left - last.rect.left) < 0.3 * last.size
    hangs = len(block) == 1 and is_list_item(last.text) and line.rect.left > last.rect.left
    sentence_ends = last.text.endswith((".", ":", ";", "!", "?")) and not line.text[:1].islower()
    return (
        gap <= _WIDE_GAP * last.size
        and abs(gap - before) < 0.25 * last.size
        and (begins_below or hangs)
        and last.rect.width > _PROSE_WIDTH * last.size
        and last.rect.right > reach - _RAGGED * last.size
        and not (last.bold or line.bold or sentence_ends)
    )


def _same_font_without_tails(first: Line, second: Line) -> bool:
    """Whether scanned lines may share a font: a line of a, c and e only is lower than one with b or g."""
    return abs(first.size - second.size) < 0.35 * max(first.size, second.size) and not first.bold and not second.bold


def is_list_item(text: str) -> bool:
    """Whether a text begins with a bullet or a number."""
    return _LIST_MARKER.match(text) is not None


def _label(lines: Sequence[Line]) -> BlockLabel:
    if is_list_item(lines[0].text):
        return BlockLabel.LIST_ITEM
    if _CAPTION.match(lines[0].text):
        return BlockLabel.CAPTION
    return BlockLabel.TEXT


def runs_right_to_left(text: str) -> bool:
    """Whether most of a text's letters are of a script that runs from right to left."""
    directions = [unicodedata.bidirectional(character) for character in text]
    return sum(d in ("R", "AL") for d in directions) > sum(d == "L" for d in directions)


def merge_touching(rects: Sequence[Rect], *, margin: float = 2.0) -> list[Rect]:
    """Unite rectangles that come closer than `margin` points: PDF writers cut pictures into strips."""
    merged: list[Rect] = []
    for rect in sorted(rects, key=lambda r: (r.top, r.left)):
        grown = rect
        while touching := [other for other in merged if other.touches(grown, margin)]:
            grown = enclosing([grown, *touching])
            merged = [other for other in merged if other not in touching]
        merged.append(grown)
    return sorted(merged, key=lambda r: (r.top, r.left))


def rows_of_lines(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines at one height; top to bottom, each row left to right."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (line.rect.top + line.rect.bottom) / 2):
        middle = (line.rect.top + line.rect.bottom) / 2
        if rows and rows[-1][0].rect.top < middle < rows[-1][0].rect.bottom:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.rect.left) for row in rows]
