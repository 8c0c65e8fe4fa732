"""Rules that need the whole document: headings and their levels. Pure."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aegis_dagster.parsing.layout_rules import BlockLabel, TextBlock


@dataclass(frozen=True, slots=True)
class PagedBlock:
    """A block and its place."""

    block: TextBlock
    page_no: int  # 1-based
    page_height: float  # points
    scanned: bool = False  # read by OCR: sizes are rough, weights unknown


# A heading's height, as a multiple of the body's. Measured heights of one font vary by 5-10 % with the letters.
_LARGER = 1.15
_LARGER_SCANNED = 1.5
_NOT_SMALLER = 0.93
_MAX_HEADING_LINES = 3
_MAX_HEADING_CHARACTERS = 200
_MAX_LEVEL = 6
_NUMBERED_HEADING = re.compile(r"(?:\d{1,2}(?:\.\d{1,2})*\.?|[A-Z]\.|[IVX]+\.)\s+\S")


def label_blocks(blocks: Sequence[PagedBlock]) -> list[BlockLabel]:
    """The label of each block, in order: as given, or HEADING."""
    size, bold = _body(blocks)
    return [BlockLabel.HEADING if _is_heading(paged, size, bold) else paged.block.label for paged in blocks]


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


def _body(blocks: Sequence[PagedBlock]) -> tuple[float, bool]:
    """Height and weight of most of the document's characters."""
    sizes: Counter[float] = Counter()
    weights: Counter[bool] = Counter()
    for paged in blocks:
        for line in paged.block.lines:
            sizes[round(line.size * 2) / 2] += len(line.text)
            weights[line.bold] += len(line.text)
    if not sizes:
        return 0.0, False
    return max(sizes, key=lambda size: (sizes[size], -size)), weights[True] > weights[False]


def _is_heading(paged: PagedBlock, body_size: float, body_bold: bool) -> bool:
    block = paged.block
    text = block.text.strip()
    if (
        block.label in (BlockLabel.CAPTION, BlockLabel.PAGE_HEADER, BlockLabel.PAGE_FOOTER)
        or any(line.apart for line in block.lines)
        or len(block.lines) > _MAX_HEADING_LINES
        or not 2 <= len(text) <= _MAX_HEADING_CHARACTERS
        or text[-1] in ".,;"
        or not any(character.isalpha() for character in text)
    ):
        return False
    if block.label is BlockLabel.LIST_ITEM and not _NUMBERED_HEADING.match(text):
        return False
    if paged.scanned:
        return block.size > _LARGER_SCANNED * body_size and len(block.lines) == 1
    larger = block.size > _LARGER * body_size and (block.label is not BlockLabel.LIST_ITEM or block.bold)
    emphasised = block.bold and not body_bold and block.size >= _NOT_SMALLER * body_size
    return larger or emphasised
