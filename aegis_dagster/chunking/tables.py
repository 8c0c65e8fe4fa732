"""Tables of plain cells as Markdown: what docling_core's serializer and tabulate make of them, byte for byte."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

MOST_CELLS = 1_000_000  # of a document; what is larger may be too large for docling_core
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # some of them mean something to tabulate


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell; it may cover several places."""

    text: str
    rows: range
    cols: range
    is_header: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table of cells without a structure of their own."""

    num_rows: int
    num_cols: int
    cells: list[Cell]


def read_table(data: Any) -> Table | None:
    """The table from the JSON of its data; None if it is not as plain as that."""
    table = Table(data["num_rows"], data["num_cols"], list(map(_cell, data["table_cells"])))
    if not 0 < table.num_rows * table.num_cols <= MOST_CELLS or data["orientation"] != "rot_0":
        return None
    if any("ref" in cell or cell.get("bbox") for cell in data["table_cells"]):
        return None
    if any(_CONTROL.search(cell.text) or cell.rows.start < 0 or cell.cols.start < 0 for cell in table.cells):
        return None
    return table


def _cell(values: Any) -> Cell:
    rows = range(values["start_row_offset_idx"], values["end_row_offset_idx"])
    cols = range(values["start_col_offset_idx"], values["end_col_offset_idx"])
    return Cell(values["text"], rows, cols, values["column_header"])


def table_markdown(table: Table) -> str:
    """The table with one row of headers, each row on a line."""
    grid: list[list[Cell | None]] = [[None] * table.num_cols for _ in range(table.num_rows)]
    for cell in table.cells:
        for row in grid[cell.rows.start : max(cell.rows.stop, 0)]:
            for col in cell.cols[: max(table.num_cols - cell.cols.start, 0)]:
                row[col] = cell
    rows = [[cell.text.replace("\n", " ").replace("|", "&#124;") if cell else "" for cell in row] for row in grid]
    headers = _header_rows(grid, table)
    header = [" - ".join(_changes(column)) for column in zip(*rows[:headers], strict=True)] or [""] * table.num_cols
    return "\n".join(map(_line, [header, ["-"] * table.num_cols, *rows[headers:]]))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.strip() for cell in cells) + " |"


def _changes(texts: Sequence[str]) -> Iterator[str]:
    """The texts without empty ones and repetitions of the one before."""
    said = [text for text in texts if text]
    yield from said[:1]
    yield from (text for before, text in pairwise(said) if text != before)


def _header_rows(grid: Sequence[Sequence[Cell | None]], table: Table) -> int:
    """How many rows make the header: those with marked cells at the top; the first row if no later one is marked."""
    first_col = min((cell.cols.start for cell in table.cells), default=0)
    starting = [[cell for cell in row if cell and cell.rows.start == at] for at, row in enumerate(grid)]
    # A marked cell at the left of a later row marks a column of row headers.
    marked_left = any(cell.is_header and cell.cols.start == first_col for row in starting[1:] for cell in row)
    count = 0
    for cells in starting:
        body = any(not cell.is_header and cell.text.strip() and cell.cols.start != first_col for cell in cells)
        if not any(cell.is_header for cell in cells) or (body and (count > 0 or marked_left)):
            break
        count += 1
    if count == 0 and not any(cell and cell.is_header for row in grid[1:] for cell in row):
        return 1
    return count
