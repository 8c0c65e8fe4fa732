"""Finds tables without ruling lines: rows of short entries in columns. Pure.

If such a table were read by columns, a value would lose its row.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from aegis_dagster.parsing.pdf.layout_rules import Line, Rect, enclosing, is_list_item, rows_of_lines
from aegis_dagster.parsing.pdf.tables import Cell, Table

_MIN_ROWS = 3
_MIN_FILLED = 0.7
_MAX_MEDIAN_CHARACTERS = 22  # of an entry; the lines of two columns of prose are longer
_MIN_WITH_DIGITS = 0.3  # share of entries; a block with fewer is a list of words in columns
_ROW_GAP = 1.6  # multiples of the line height
_COLUMN_GAP = 1.0  # points between the entries of neighbouring columns, over all rows


def find_grids(lines: Sequence[Line]) -> tuple[list[Table], list[Line]]:
    """The tables among a page's lines, and the lines outside them. No line is lost."""
    tables: list[Table] = []
    rest: list[Line] = []
    run: list[list[Line]] = []
    for row in [*rows_of_lines(lines), []]:
        if run and not _extends(run, row):
            table = _table(run)
            if table is None:
                rest += [line for taken in run for line in taken]
            else:
                tables.append(table)
            run = []
        if len(row) > 1:
            run.append(row)
        else:
            rest += row
    return tables, sorted(rest, key=lambda line: (line.rect.top, line.rect.left))


def _extends(run: Sequence[Sequence[Line]], row: Sequence[Line]) -> bool:
    if len(row) < 2:
        return False
    above, below = enclosing([line.rect for line in run[-1]]), enclosing([line.rect for line in row])
    if below.top - above.bottom > _ROW_GAP * max(line.size for line in row):
        return False
    before = len(_columns([line for taken in run for line in taken]))
    return len(_columns([line for taken in [*run, row] for line in taken])) >= max(2, before - 1)


def _columns(lines: Sequence[Line]) -> list[tuple[float, float]]:
    """Left and right edges of the columns that no line crosses."""
    columns: list[tuple[float, float]] = []
    for left, right in sorted((line.rect.left, line.rect.right) for line in lines):
        if columns and left - columns[-1][1] < _COLUMN_GAP:
            columns[-1] = (columns[-1][0], max(columns[-1][1], right))
        else:
            columns.append((left, right))
    return columns


def _united(columns: list[tuple[float, float]], rows: Sequence[Sequence[Line]]) -> list[tuple[float, float]]:
    """Unite neighbouring columns that no row fills both of: a left-aligned heading over right-aligned numbers."""
    united = columns[:1]
    for column in columns[1:]:
        left, right = united[-1], column
        if any(_fills(row, left) and _fills(row, right) for row in rows):
            united.append(column)
        else:
            united[-1] = (left[0], right[1])
    return united


def _fills(row: Sequence[Line], column: tuple[float, float]) -> bool:
    return any(column[0] <= (line.rect.left + line.rect.right) / 2 <= column[1] for line in row)


def _table(rows: Sequence[Sequence[Line]]) -> Table | None:
    lines = [line for row in rows for line in row]
    columns = _united(_columns(lines), rows)
    with_digits = sum(any(character.isdigit() for character in line.text) for line in lines)
    if (
        len(rows) < _MIN_ROWS
        or len(columns) < 2
        or len(lines) < _MIN_FILLED * len(rows) * len(columns)
        or median(len(line.text) for line in lines) > _MAX_MEDIAN_CHARACTERS
        or with_digits < _MIN_WITH_DIGITS * len(lines)
        or any(is_list_item(line.text) for line in lines)
    ):
        return None
    tops = [min(line.rect.top for line in row) for row in rows]
    bottom = max(line.rect.bottom for line in rows[-1])
    edges = [(top, below) for top, below in pairwise([*tops, bottom])]
    cells = [
        _cell(row, number, columns, column, edges[number])
        for number, row in enumerate(rows)
        for column in range(len(columns))
    ]
    return Table(enclosing([line.rect for line in lines]), len(rows), len(columns), tuple(cells))


def _cell(
    row: Sequence[Line], number: int, columns: Sequence[tuple[float, float]], column: int, edges: tuple[float, float]
) -> Cell:
    left, right = columns[column]
    inside = [line for line in row if left <= (line.rect.left + line.rect.right) / 2 <= right]
    rect = Rect(left, edges[0], right, edges[1])
    return Cell(number, column, 1, 1, rect, " ".join(line.text for line in inside))
