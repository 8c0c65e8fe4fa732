"""Rules that need the whole document: headings, their levels, and lines that repeat on every page. Pure."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
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
# Headers and footers stand within this share of the page's height from its edge.
_MARGIN_SHARE = 0.1
_PAGE_NUMBER = re.compile(
    r"[-–—\s]*(?:page|seite|p\.)?\s*(?:\d{1,4}|[ivxlc]{1,6})(?:\s*(?:/|of|von)\s*\d{1,4})?[-–—\s]*", re.IGNORECASE
)
_DIGITS = re.compile(r"\d+")
_NUMBERED_HEADING = re.compile(r"(?:\d{1,2}(?:\.\d{1,2})*\.?|[A-Z]\.|[IVX]+\.)\s+\S")


def label_blocks(blocks: Sequence[PagedBlock]) -> list[BlockLabel]:
    """The label of each block, in order: as given, or HEADING, PAGE_HEADER, PAGE_FOOTER."""
    margins = _margin_labels(blocks)
    size, bold = _body(blocks)
    labels = []
    for number, paged in enumerate(blocks):
        if number in margins:
            labels.append(margins[number])
        elif _is_heading(paged, size, bold):
            labels.append(BlockLabel.HEADING)
        else:
            labels.append(paged.block.label)
    return labels


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
        block.label is BlockLabel.CAPTION
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


def _margin_labels(blocks: Sequence[PagedBlock]) -> Mapping[int, BlockLabel]:
    """Blocks at the edge of a page that repeat there on other pages, or hold nothing but the page's number."""
    places: dict[tuple[BlockLabel, str], set[int]] = {}
    candidates: list[tuple[int, BlockLabel, str]] = []
    for number, paged in enumerate(blocks):
        label = _margin(paged)
        if label is not None:
            words = _DIGITS.sub("#", paged.block.text.casefold().strip())
            places.setdefault((label, words), set()).add(paged.page_no)
            candidates.append((number, label, paged.block.text.strip()))
    found = {}
    for number, label, text in candidates:
        repeated = len(places[label, _DIGITS.sub("#", text.casefold())]) > 1
        if repeated or _PAGE_NUMBER.fullmatch(text):
            found[number] = label
    return found


def _margin(paged: PagedBlock) -> BlockLabel | None:
    if len(paged.block.lines) > 1:
        return None
    rect = paged.block.rect
    if rect.bottom < _MARGIN_SHARE * paged.page_height:
        return BlockLabel.PAGE_HEADER
    if rect.top > (1 - _MARGIN_SHARE) * paged.page_height:
        return BlockLabel.PAGE_FOOTER
    return None
