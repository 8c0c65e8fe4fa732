"""Composes the text of one page: which way it is turned, fields, tables, forms, blocks. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from aegis_dagster.parsing.pdf.form_rules import Field, fill_in, label_values
from aegis_dagster.parsing.pdf.grid_rules import find_grids
from aegis_dagster.parsing.pdf.layout_rules import BlockLabel, Fragment, Line, TextBlock, build_blocks, build_lines
from aegis_dagster.parsing.pdf.letter_spacing import close_up
from aegis_dagster.parsing.pdf.pair_rules import find_pairs
from aegis_dagster.parsing.pdf.tables import Table, text_outside
from aegis_dagster.parsing.pdf.turned import Turn

# A watermark is so many times as high as most text, and lies across so many other pieces by this share of each.
_WATERMARK_HEIGHT = 2.5
_WATERMARK_CROSSED = 2
_WATERMARK_SHARE = 0.2
_MAX_WATERMARKS = 20  # of a page


@dataclass(frozen=True, slots=True)
class Drawn:
    """A piece of text as it is drawn on the page."""

    fragment: Fragment
    quarters: int | None = 0  # how often it is turned; None: it is slanted
    height: float = 0.0  # points, of its letters
    in_field: bool = False


@dataclass(frozen=True, slots=True)
class PageText:
    """The text of a page."""

    quarters: int  # how often most of the page is turned
    blocks: list[TextBlock]
    forms: list[TextBlock]  # labels with their values
    tables: list[Table]
    turned: list[tuple[int, TextBlock]]  # by other quarters than the page
    watermarks: list[TextBlock]


# The tables among words that stand upright when the page is turned.
FindTables = Callable[[Sequence[Fragment], Turn], list[Table]]


def compose(
    cells: Sequence[Drawn],
    words: Sequence[Drawn],
    fields: Sequence[Field],
    size: tuple[float, float],
    find_tables: FindTables,
) -> PageText:
    """The text of a page of this width and height in points. Nothing is lost."""
    quarters = _quarters_of_most(cells)
    turn = Turn(quarters, *size)
    printed = _upright(cells, turn, in_field=False)
    printed, own_words = close_up(printed, [word.fragment for word in _of(words, turn)])
    fields = [replace(field, rect=turn.upright(field.rect)) for field in fields]
    printed, own_words, values = fill_in(printed, _upright(cells, turn, in_field=True), own_words, fields)
    printed, large = _without_watermarks(printed)
    across = [turn.line_on_page(line, apart=True) for line in large]
    turned = _turned_lines(cells, words, quarters, size)
    pieces = [*own_words, *(value.fragment for value in values)]
    beside = [Fragment(line.text, turn.upright(other.on_page(line.rect))) for other, line in turned]
    tables = find_tables([*pieces, *beside], turn)
    outside = [*printed, *(value.fragment for value in values)]
    if tables:
        outside = text_outside(outside, pieces, tables)
        turned = [own for own, piece in zip(turned, beside, strict=True) if text_outside([piece], [], tables)]
    filled, lines = label_values(build_lines(outside), values, fields)
    grids, lines = find_grids(lines)
    pairs, lines = find_pairs(lines)
    slanted = [
        Line(piece.fragment.text, piece.fragment.rect, piece.fragment.bold, piece.height, apart=True)
        for piece in cells
        if piece.quarters is None
    ]
    return PageText(
        quarters,
        [_on_page(block, turn) for block in build_blocks(lines)],
        [_on_page(_alone(line), turn) for line in (*filled, *pairs)],
        [_table_on_page(table, turn) for table in (*tables, *grids)],
        [
            (other.quarters, _on_page(block, other, apart=other.quarters != 0))
            for other in dict.fromkeys(other for other, _ in turned)
            for block in build_blocks([line for own, line in turned if own == other])
        ],
        [_alone(line) for line in (*slanted, *across)],
    )


def _quarters_of_most(cells: Iterable[Drawn]) -> int:
    counts: Counter[int] = Counter()
    for cell in cells:
        if cell.quarters is not None:
            counts[cell.quarters] += len(cell.fragment.text)
    return max(counts, key=lambda quarters: (counts[quarters], -quarters), default=0)


def _of(pieces: Iterable[Drawn], turn: Turn) -> list[Drawn]:
    """The pieces with this turn, upright."""
    return [
        replace(piece, fragment=replace(piece.fragment, rect=turn.upright(piece.fragment.rect)))
        for piece in pieces
        if piece.quarters == turn.quarters
    ]


def _upright(cells: Iterable[Drawn], turn: Turn, *, in_field: bool) -> list[Fragment]:
    return [piece.fragment for piece in _of(cells, turn) if piece.in_field == in_field]


def _turned_lines(
    cells: Sequence[Drawn], words: Sequence[Drawn], quarters: int, size: tuple[float, float]
) -> list[tuple[Turn, Line]]:
    """The lines that are turned otherwise than the page, each upright in its own turn."""
    found = []
    for other in sorted({cell.quarters for cell in cells if cell.quarters is not None} - {quarters}):
        turn = Turn(other, *size)
        fragments, _ = close_up(
            [piece.fragment for piece in _of(cells, turn)], [word.fragment for word in _of(words, turn)]
        )
        found += [(turn, line) for line in build_lines(fragments)]
    return found


def _without_watermarks(fragments: Sequence[Fragment]) -> tuple[list[Fragment], list[Line]]:
    if not fragments:
        return [], []
    limit = _WATERMARK_HEIGHT * median(fragment.rect.height for fragment in fragments)
    large = [index for index, fragment in enumerate(fragments) if fragment.rect.height >= limit]
    across = {index for index in large[:_MAX_WATERMARKS] if _crosses(index, fragments)}
    lines = [Line(fragment.text, fragment.rect, fragment.bold) for i, fragment in enumerate(fragments) if i in across]
    return [fragment for index, fragment in enumerate(fragments) if index not in across], lines


def _crosses(index: int, fragments: Sequence[Fragment]) -> bool:
    rect = fragments[index].rect
    others = (other.rect for number, other in enumerate(fragments) if number != index)
    return sum(rect.overlap(other) > _WATERMARK_SHARE * other.area > 0 for other in others) >= _WATERMARK_CROSSED


def _alone(line: Line) -> TextBlock:
    return TextBlock((line,), BlockLabel.TEXT)


def _on_page(block: TextBlock, turn: Turn, *, apart: bool = False) -> TextBlock:
    if turn.quarters == 0 and not apart:
        return block
    return replace(block, lines=tuple(turn.line_on_page(line, apart=apart) for line in block.lines))


def _table_on_page(table: Table, turn: Turn) -> Table:
    if turn.quarters == 0:
        return table
    cells = tuple(replace(cell, rect=turn.on_page(cell.rect)) for cell in table.cells)
    return replace(table, rect=turn.on_page(table.rect), cells=cells)
