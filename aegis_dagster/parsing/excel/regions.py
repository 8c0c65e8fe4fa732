"""Finds the tables and the texts of a sheet: islands of cells between empty rows and columns."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from aegis_dagster.parsing.excel.references import Range

# Islands lie in islands only so deep: what is left is one table.
_DEEPEST: Final = 8
# Further declared tables are found like any other island.
_MOST_TABLES: Final = 200
# An area with fewer cells than this share of it is no table, unless it is small.
_SPARSE: Final = 20
_SMALL: Final = 2_000
# The text of merged cells stands in each of them (it belongs to each row and each column) up to so many characters.
_REPEATED: Final = 500

Rows = list[tuple[int, dict[int, str]]]  # rows in order, with their cells in order


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table, 0-based."""

    row: int
    column: int
    rows: int  # how many it spans
    columns: int
    text: str


@dataclass(frozen=True, slots=True)
class Region:
    """An island: a text, or a table with cells."""

    area: Range
    text: str = ""
    rows: int = 0
    columns: int = 0
    cells: tuple[Cell, ...] = ()


def find_regions(cells: dict[int, dict[int, str]], merged: Iterable[Range], tables: Iterable[Range]) -> list[Region]:
    """The islands of a sheet, from top to bottom. `tables`: areas that the workbook itself declares to be tables."""
    spans = {(row, column): (last_row, last_column) for row, column, last_row, last_column in merged}
    rest: Rows = [(row, dict(sorted(cells[row].items()))) for row in sorted(cells)]
    found: list[Region] = []
    for area in sorted(set(tables))[:_MOST_TABLES]:
        inside, rest = _cut_out(rest, area)
        if inside:
            found += _leaf(inside, spans, declared=True)
    for island in _islands(rest, 0):
        found += _leaf(island, spans, declared=False)
    return sorted(found, key=lambda region: region.area[:2])


def _cut_out(rows: Rows, area: Range) -> tuple[Rows, Rows]:
    """The rows within an area, and those without."""
    top, left, bottom, right = area
    first, last = bisect_left(rows, top, key=_number), bisect_right(rows, bottom, key=_number)
    inside: Rows = []
    outside: Rows = rows[:first]
    for number, row in rows[first:last]:
        taken = {column: text for column, text in row.items() if left <= column <= right}
        kept = {column: text for column, text in row.items() if column not in taken}
        inside += [(number, taken)] if taken else []
        outside += [(number, kept)] if kept else []
    return inside, outside + rows[last:]


def _number(row: tuple[int, dict[int, str]]) -> int:
    return row[0]


def _islands(rows: Rows, depth: int) -> Iterator[Rows]:
    bands = list(_bands(rows))
    for band in bands:
        segments = _segments(band) if depth < _DEEPEST else []
        if len(segments) < 2:
            yield band
            continue
        for first, last in segments:
            parts = [(number, {c: text for c, text in row.items() if first <= c <= last}) for number, row in band]
            yield from _islands([part for part in parts if part[1]], depth + 1)


def _bands(rows: Rows) -> Iterator[Rows]:
    """Rows without an empty row between them."""
    start = 0
    for index in range(1, len(rows) + 1):
        if index == len(rows) or rows[index][0] > rows[index - 1][0] + 1:
            if start < index:
                yield rows[start:index]
            start = index


def _segments(rows: Rows) -> list[tuple[int, int]]:
    """Columns without an empty column between them. Single columns side by side stay together: labels and values."""
    columns = sorted({column for _, row in rows for column in row})
    runs: list[tuple[int, int]] = []
    for column in columns:
        if runs and column == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], column)
        else:
            runs.append((column, column))
    segments: list[tuple[int, int]] = []
    single = False
    for first, last in runs:
        if single and first == last:
            segments[-1] = (segments[-1][0], last)
        else:
            segments.append((first, last))
        single = first == last
    return segments


def _leaf(rows: Rows, spans: dict[tuple[int, int], tuple[int, int]], *, declared: bool) -> Iterator[Region]:
    """A table, or texts: single lines above a table, lines of one cell each, areas that are almost empty."""
    columns = sorted({column for _, row in rows for column in row})
    while not declared and len(rows) > 2 and len(columns) > 1 and len(rows[0][1]) == 1:
        yield _text(rows[:1])
        rows = rows[1:]
        columns = sorted({column for _, row in rows for column in row})
    count = sum(len(row) for _, row in rows)
    if count == len(rows) or len(rows) * len(columns) > _SPARSE * count + _SMALL:
        yield _text(rows)
    else:
        yield _table(rows, columns, spans)


def _text(rows: Rows) -> Region:
    lines = [" ".join(row.values()) for _, row in rows]
    columns = [column for _, row in rows for column in row]
    return Region((rows[0][0], min(columns), rows[-1][0], max(columns)), "\n".join(lines))


def _table(rows: Rows, columns: Sequence[int], spans: dict[tuple[int, int], tuple[int, int]]) -> Region:
    numbers = [number for number, _ in rows]
    places = {column: index for index, column in enumerate(columns)}
    cells: list[Cell] = []
    for index, (number, row) in enumerate(rows):
        for column, text in row.items():
            down = across = 1
            if (end := spans.get((number, column))) is not None:
                down = bisect_right(numbers, end[0]) - index
                across = bisect_right(columns, end[1]) - places[column]
                alone = len(row) == 1 and down == 1
                if alone or down * across * len(text) > _REPEATED:
                    down = across = 1
            cells.append(Cell(index, places[column], down, across, text))
    area = (numbers[0], columns[0], numbers[-1], columns[-1])
    return Region(area, "", len(rows), len(columns), tuple(cells))
