"""Rules that need the whole document: headings and their levels. Pure."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aegis_dagster.parsing.pdf.layout_rules import BlockLabel, Rect, TextBlock


@dataclass(frozen=True, slots=True)
class PagedBlock:
    """A block and its place."""

    block: TextBlock
    page_no: int  # 1-based
    page_height: float  # points
    scanned: bool = False  # read by OCR: sizes are rough, weights unknown
    tables: tuple[Rect, ...] = ()  # those of its page


# A heading's height, as a multiple of the body's. Measured heights of one font vary by 5-10 % with the letters.
_LARGER = 1.15
_LARGER_SCANNED = 1.5
_LARGER_ITEM = 1.3  # "1. Scope"; lists are set a little larger than notes
_NOT_SMALLER = 0.93
_MAX_HEADING_LINES = 3
_MAX_HEADING_CHARACTERS = 200
_MAX_LEVEL = 6
# Running text: a block of so many characters; a size of it counts where so much of the text is set in it.
_RUNNING_CHARACTERS = 160
_RUNNING_SHARE = 0.05
_NUMBERED_HEADING = re.compile(r"(?:\d{1,2}(?:\.\d{1,2})*\.?|[A-Z]\.|[IVX]+\.)\s+\S")


def label_blocks(blocks: Sequence[PagedBlock]) -> list[BlockLabel]:
    """The label of each block, in order: as given, CAPTION for the heads of a table's columns, or HEADING."""
    body = _body(blocks)
    return [_label(paged, body) for paged in blocks]


def _label(paged: PagedBlock, body: "_Body") -> BlockLabel:
    if paged.block.label not in (BlockLabel.PAGE_HEADER, BlockLabel.PAGE_FOOTER) and _heads_columns(paged):
        return BlockLabel.CAPTION
    return BlockLabel.HEADING if _is_heading(paged, body) else paged.block.label


def heading_levels(headings: Sequence[PagedBlock]) -> list[int]:
    """The level of each heading, 1 for the largest; sizes within 8 % are one level; bold ranks above regular."""
    ranks: list[tuple[float, bool]] = []
    for size, bold in sorted({_style(paged) for paged in headings}, reverse=True):
        if not ranks or size < ranks[-1][0] * 0.92 or bold != ranks[-1][1]:
            ranks.append((size, bold))
    return [min(_rank(_style(paged), ranks), _MAX_LEVEL) for paged in headings]


def _rank(style: tuple[float, bool], ranks: Sequence[tuple[float, bool]]) -> int:
    """1 + the last rank that is not smaller than the style, and of the same weight if there is one."""
    fitting = [number for number, rank in enumerate(ranks) if rank[0] >= style[0] and rank[1] == style[1]]
    return 1 + max(fitting, default=0)


def _style(paged: PagedBlock) -> tuple[float, bool]:
    return round(paged.block.size, 1), paged.block.bold


def _heads_columns(paged: PagedBlock) -> bool:
    """Whether a line sits on a table, over some of its columns, and so belongs to it; a title begins at its edge."""
    rect, size = paged.block.rect, paged.block.size
    return len(paged.block.lines) == 1 and any(
        -0.5 * size < table.top - rect.bottom < 0.5 * size
        and rect.left > table.left + 2 * size
        and rect.right < table.right + size
        for table in paged.tables
    )


@dataclass(frozen=True, slots=True)
class _Body:
    """How most of the document is set."""

    size: float  # height of most characters
    largest: float  # and of the largest running text: notes in small print may be longer than the text
    bold: bool


def _body(blocks: Sequence[PagedBlock]) -> _Body:
    sizes: Counter[float] = Counter()
    running: Counter[float] = Counter()
    weights: Counter[bool] = Counter()
    for paged in blocks:
        for line in paged.block.lines:
            sizes[_half_points(line.size)] += len(line.text)
            weights[line.bold] += len(line.text)
        if len(paged.block.text) >= _RUNNING_CHARACTERS and not paged.block.bold:
            running[_half_points(paged.block.size)] += len(paged.block.text)
    if not sizes:
        return _Body(0.0, 0.0, False)
    usual = max(sizes, key=lambda size: (sizes[size], -size))
    large = [size for size, count in running.items() if count >= _RUNNING_SHARE * running.total()]
    return _Body(usual, max(large, default=usual), weights[True] > weights[False])


def _half_points(size: float) -> float:
    return round(size * 2) / 2


def _is_heading(paged: PagedBlock, body: _Body) -> bool:
    block = paged.block
    text = block.text.strip()
    if (
        block.label in (BlockLabel.CAPTION, BlockLabel.PAGE_HEADER, BlockLabel.PAGE_FOOTER)
        or any(line.apart for line in block.lines)
        or len(block.lines) > _MAX_HEADING_LINES
        or not 2 <= len(text) <= _MAX_HEADING_CHARACTERS
        or text[-1] in (".,;" if block.bold else ".,;:")
        or not any(character.isalpha() for character in text)
    ):
        return False
    if block.label is BlockLabel.LIST_ITEM and not _NUMBERED_HEADING.match(text):
        return False
    if paged.scanned:
        return block.size > _LARGER_SCANNED * body.size and len(block.lines) == 1
    large = block.size > _LARGER * max(body.size, body.largest)
    is_item = block.label is BlockLabel.LIST_ITEM and block.size < _LARGER_ITEM * max(body.size, body.largest)
    larger = large and (block.bold or not is_item)
    emphasised = block.bold and not body.bold and block.size >= _NOT_SMALLER * body.size
    return larger or emphasised
