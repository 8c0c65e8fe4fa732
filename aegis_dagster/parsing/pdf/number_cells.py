"""Puts the rows of a table that numbers show into cells: wrapped labels joined, headings over their columns. Pure."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from aegis_dagster.parsing.pdf.layout_rules import Rect, enclosing
from aegis_dagster.parsing.pdf.number_rules import Entry, Row, Span, extent_of, height_of, is_heading_row
from aegis_dagster.parsing.pdf.tables import Cell, Table

_OFF_CENTER = 14.0  # points; a heading may stand so far from the middle of its columns
_WRAPPED_GAP = 0.8  # multiples of the height; the space between two lines of one label


def build_number_table(rows: Sequence[Row], head: int, columns: Sequence[Span], first_number: float) -> Table:
    """The table of these rows, of which the first `head` stand over the numbers, which begin at `first_number`.

    All rows of headings become one, so that each column is named by it. Where there is none, an empty row stands for
    it: the first row of numbers is no heading, and must not be repeated as one.
    """
    body = next((n for n, row in enumerate(rows) if n >= head and not is_heading_row(row)), len(rows))
    over = [n for n, row in enumerate(rows[:body]) if any(entry.rect.right > first_number for entry in row)]
    start = over[-1] + 1 if over else 0
    headings = [list(range(start))] if over else []
    table = _build(rows, [*headings, *_joined_rows(rows, start)], columns, headed=bool(over))
    return table if over else _with_empty_head(table)


def _with_empty_head(table: Table) -> Table:
    """The table with an empty first row, which stands for a header: the first row of numbers is none."""
    top = table.rect.top
    head = [Cell(0, n, 1, 1, Rect(table.rect.left, top, table.rect.left, top), "") for n in range(table.columns)]
    below = [Cell(cell.row + 1, cell.column, 1, 1, cell.rect, cell.text) for cell in table.cells]
    return Table(table.rect, table.rows + 1, table.columns, (*head, *below))


def _joined_rows(rows: Sequence[Row], start: int) -> Iterator[list[int]]:
    """The numbers of the rows that make one row each: a label that is wrapped goes on in lower case."""
    group: list[int] = []
    for number in range(start, len(rows)):
        row = rows[number]
        goes_on = (
            bool(group)
            and all(entry.text[:1].islower() for entry in row if not entry.number)
            and any(not entry.number for entry in row)
            and sum(any(entry.number for entry in rows[n]) for n in (*group, number)) < 2
            and extent_of(row).top - extent_of(rows[number - 1]).bottom < 0.8 * height_of(row)
            and not any(entry.text.endswith((":", ".")) for entry in rows[number - 1])
        )
        if not goes_on and group:
            yield group
            group = []
        group.append(number)
    if group:
        yield group


def _build(rows: Sequence[Row], groups: Sequence[Sequence[int]], columns: Sequence[Span], *, headed: bool) -> Table:
    extents = [extent_of([entry for number in group for entry in rows[number]]) for group in groups]
    whole = enclosing(extents)
    edges = [whole.left, *((a[1] + b[0]) / 2 for a, b in pairwise(columns)), whole.right]
    cells = []
    for index, group in enumerate(groups):
        texts: list[list[str]] = [[] for _ in columns]
        for number in group:
            over = _headed_columns(rows[number], columns) if headed and index == 0 else {}
            for place, entry in enumerate(rows[number]):
                for column in over.get(place) or [_column_of(entry, columns, edges)]:
                    texts[column].append(entry.text)
        for column, parts in enumerate(texts):
            rect = Rect(edges[column], extents[index].top, edges[column + 1], extents[index].bottom)
            cells.append(Cell(index, column, 1, 1, rect, " ".join(parts)))
    return Table(whole, len(groups), len(columns), tuple(cells))


def _headed_columns(row: Row, columns: Sequence[Span]) -> dict[int, list[int]]:
    """The columns that each entry of a row of headings stands over, by its place, where these are several."""
    middles = [(left + right) / 2 for left, right in columns]
    over = {}
    for place, entry in enumerate(row):
        over[place] = [n for n, middle in enumerate(middles) if entry.rect.left < middle < entry.rect.right]
    heads = [place for place, entry in enumerate(row) if entry.rect.left > columns[0][1]]
    near: dict[int, list[int]] = {place: [] for place in heads}
    for number, middle in enumerate(middles[1:], 1) if len(heads) > 1 else ():
        near[min(heads, key=lambda place: abs(_middle(row[place]) - middle))].append(number)
    centered = [
        bool(group) and abs(_middle(row[place]) - (middles[group[0]] + middles[group[-1]]) / 2) < _OFF_CENTER
        for place, group in near.items()
    ]
    return near if centered and all(centered) else {place: found for place, found in over.items() if len(found) > 1}


def _middle(entry: Entry) -> float:
    return (entry.rect.left + entry.rect.right) / 2


def _column_of(entry: Entry, columns: Sequence[Span], edges: Sequence[float]) -> int:
    """The column that an entry belongs to: a text belongs where it begins, a number where its middle is."""
    rect = entry.rect
    if not entry.number:
        for number, (left, right) in enumerate(columns):
            if left - 1 <= rect.left <= right and rect.right <= right + 1:
                return number
        for number, (left, right) in enumerate(columns[:1]):
            if left - 1 <= rect.left <= right:
                return number
    middle = _middle(entry)
    return next((n for n in range(len(columns)) if middle <= edges[n + 1]), len(columns) - 1)
