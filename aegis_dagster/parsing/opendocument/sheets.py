"""Reads the tables of OpenDocument files: the sheets of a spreadsheet and the tables in a text or on a slide.

Imports lxml: load it in a worker.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from lxml import etree

from aegis_dagster.domain.left_out import Reason
from aegis_dagster.parsing.markup.building import Cell
from aegis_dagster.parsing.opendocument.package import attribute, odf_name

if TYPE_CHECKING:
    from aegis_dagster.parsing.opendocument.text import Walk

_CELLS: Final = ("table:table-cell", "table:covered-table-cell")
_HIDDEN: Final = ("collapse", "filter")
_MOST_COPIES: Final = 100_000  # of repeated cells that have text, in a document
_WIDEST: Final = 16_384


def add_table(walk: "Walk", table: etree._Element, *, of_sheet: bool) -> None:
    """Add a table. Of a sheet: under its name, and without what is hidden, which is counted."""
    name = attribute(table, "table:name")
    if of_sheet:
        if not walk.read_hidden and walk.styles.hides("table", attribute(table, "table:style-name")):
            walk.leave_out(Reason.HIDDEN_SHEET, f"sheet {name}", table)
            return
        walk.builder.heading(name, 1)
    rows = _Rows(walk, table, name, of_sheet=of_sheet)
    walk.builder.table(rows.close_up())
    if rows.formulas:
        walk.warnings.append(f"Sheet {name}: {rows.formulas} formulas have no value, and are shown as formulas.")
    if rows.cut:
        walk.warnings.append(f"Sheet {name}: equal rows or cells that it repeats too often are shown once.")
    walk.lifted()
    for part in table:
        if odf_name(part) in ("table:shapes", "table:title", "table:desc"):
            walk.flow(part)


class _Rows:
    """The visible cells of a table."""

    def __init__(self, walk: "Walk", table: etree._Element, name: str, *, of_sheet: bool) -> None:
        self.cells: list[list[Cell]] = []
        self.formulas = 0
        self.cut = False
        self._walk = walk
        self._place = f"sheet {name}"
        self._of_sheet = of_sheet
        self._row = 1
        self._hidden_columns = frozenset[int]() if walk.read_hidden else _hidden_columns(table)
        for row in _parts(table, "table:table-row"):
            if not walk.read_hidden and attribute(row, "table:visibility") in _HIDDEN:
                walk.leave_out(Reason.HIDDEN_ROW, self._place, row)
            else:
                self._add(row)
            self._row += _number(attribute(row, "table:number-rows-repeated"))

    def _add(self, row: etree._Element) -> None:
        cells: list[Cell] = []
        column = 0
        for cell in row:
            if odf_name(cell) not in _CELLS:
                continue
            count = _number(attribute(cell, "table:number-columns-repeated"))
            read = self._cell(cell, column)
            if read is not None and read.text:
                cells += [replace(read, column=column + n) for n in range(self._copies(count, 1))]
            column += count
        if not cells:
            return
        self.cells += [cells] * self._copies(_number(attribute(row, "table:number-rows-repeated")), len(cells))

    def _copies(self, count: int, cells: int) -> int:
        """How often cells are to be shown that a file repeats so often."""
        if self._walk.copies + (count - 1) * cells > _MOST_COPIES:
            self.cut, count = True, 1
        self._walk.copies += (count - 1) * cells
        return count

    def close_up(self) -> list[list[Cell]]:
        """The rows without the columns that are empty in all of them; the first is the header."""
        used = sorted({cell.column or 0 for row in self.cells for cell in row})

        def moved(cell: Cell, *, header: bool) -> Cell:
            first = bisect_left(used, cell.column or 0)
            wide = bisect_left(used, (cell.column or 0) + cell.columns) - first
            return replace(cell, column=first, columns=wide, header=header)

        return [[moved(cell, header=number == 0) for cell in row] for number, row in enumerate(self.cells)]

    def _cell(self, cell: etree._Element, column: int) -> Cell | None:
        """The cell; None where a cell beside or above covers it, or its column is hidden."""
        covered = odf_name(cell) == _CELLS[1]
        if covered or column in self._hidden_columns:
            reason = Reason.HIDDEN_TEXT if covered else Reason.HIDDEN_COLUMN
            self._walk.leave_out(reason, self._place, cell)
            return None
        self._walk.cell = f"{_letters(column)}{self._row}" if self._of_sheet else ""
        text = self._walk.text_of(cell)
        self._walk.cell = ""
        if not text:
            text = attribute(cell, "office:value") or attribute(cell, "office:string-value")
        if not text and (formula := attribute(cell, "table:formula")):
            text = formula.partition(":")[2] or formula
            self.formulas += 1
        high, wide = (_number(attribute(cell, f"table:number-{of}-spanned")) for of in ("rows", "columns"))
        return Cell(text, high, wide)


def _letters(column: int) -> str:
    """The name of a column: 0 is A, 26 is AA."""
    name = ""
    while column >= 0:
        column, letter = divmod(column, 26)
        name, column = chr(ord("A") + letter) + name, column - 1
    return name


def _hidden_columns(table: etree._Element) -> frozenset[int]:
    hidden: set[int] = set()
    column = 0
    for part in _parts(table, "table:table-column"):
        count = min(_number(attribute(part, "table:number-columns-repeated")), _WIDEST)
        if attribute(part, "table:visibility") in _HIDDEN:
            hidden.update(range(column, min(column + count, _WIDEST)))
        column += count
    return frozenset(hidden)


def _parts(table: etree._Element, name: str) -> Iterator[etree._Element]:
    """The rows or columns of a table, through their groups, without those of a table in a cell."""
    for child in table:
        if odf_name(child) == name:
            yield child
        elif odf_name(child).startswith("table:table-") and odf_name(child) not in _CELLS:
            yield from _parts(child, name)


def _number(value: str) -> int:
    return max(1, int(value)) if value.isascii() and value.isdecimal() and len(value) < 9 else 1
