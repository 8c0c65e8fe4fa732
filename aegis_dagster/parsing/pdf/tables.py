"""Finds tables in born-digital PDFs by their ruling lines, with pdfplumber.

pdfplumber found 5 of the corpora's 9 tables exactly where hand-written rules found 1.
"""

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aegis_dagster.parsing.pdf.layout_rules import Fragment, Rect, build_lines, enclosing
from aegis_dagster.parsing.pdf.turned import Turn

# Boxes around text and forms are ruled too; a table has most of its cells filled.
_MIN_FILLED = 0.4
_MIN_ROWS = 2
_MIN_COLUMNS = 2
# Two pages are the same one if their sizes agree to this, in points.
_SIZE_TOLERANCE = 1.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell; a cell over several rows or columns spans them."""

    row: int  # 0-based, first
    column: int
    rows: int  # how many rows and columns it spans
    columns: int
    rect: Rect
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table."""

    rect: Rect
    rows: int
    columns: int
    cells: tuple[Cell, ...]


class TableFinder:
    """Finds the tables of one PDF. Use it from one thread, and close it."""

    def __init__(self, data: bytes) -> None:
        import pdfplumber
        from pdfminer.psexceptions import PSException
        from pdfplumber.utils.exceptions import PdfminerException

        # What pdfminer raises on malformed objects and content streams.
        lookups = ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError
        self._damage = (*lookups, PSException, PdfminerException)
        self._pdf = None
        with suppress(*self._damage):
            self._pdf = pdfplumber.open(io.BytesIO(data))

    def close(self) -> None:
        """Free the document."""
        with suppress(*self._damage):
            if self._pdf is not None:
                self._pdf.close()

    def find(self, page_no: int, turn: Turn, words: Sequence[Fragment]) -> list[Table]:
        """The tables of a page (1-based), with the words in their cells, both as they stand when the page is turned.

        Returns none if pdfplumber sees the page in another size or fails on it: the page is read as text, nothing is
        lost.
        """
        if self._pdf is None:
            return []
        page = None
        try:
            page = self._pdf.pages[page_no - 1]
            if abs(page.width - turn.width) > _SIZE_TOLERANCE or abs(page.height - turn.height) > _SIZE_TOLERANCE:
                return []
            left, top = float(page.bbox[0]), float(page.bbox[1])
            found = page.find_tables()
            grids = [[[_rect(box, left, top, turn) for box in row.cells] for row in table.rows] for table in found]
        except self._damage:
            return []
        finally:
            if page is not None:
                page.close()
        tables = [build_table(grid, words) for grid in grids]
        return [table for table in tables if table is not None]


def build_table(grid: Sequence[Sequence[Rect | None]], words: Sequence[Fragment]) -> Table | None:
    """A table from its cells' rectangles, row by row (None: covered by a neighbour), or None if they form no table."""
    rects = [rect for row in grid for rect in row if rect is not None]
    if not rects:
        return None
    columns = _edges([rect.left for rect in rects])
    rows = _edges([rect.top for rect in rects])
    if len(rows) < _MIN_ROWS or len(columns) < _MIN_COLUMNS:
        return None
    cells = [_cell(rect, rows, columns, words) for rect in rects]
    if sum(bool(cell.text) for cell in cells) < _MIN_FILLED * len(cells):
        return None
    return Table(enclosing(rects), len(rows), len(columns), tuple(cells))


def _cell(rect: Rect, rows: Sequence[float], columns: Sequence[float], words: Sequence[Fragment]) -> Cell:
    inside = [word for word in words if rect.holds_center_of(word.rect)]
    text = " ".join(line.text for line in build_lines(inside))
    row, column = _index(rows, rect.top), _index(columns, rect.left)
    below = sum(row_top < rect.bottom - 1 for row_top in rows) - row
    beside = sum(column_left < rect.right - 1 for column_left in columns) - column
    return Cell(row, column, max(1, below), max(1, beside), rect, text)


def _edges(values: Sequence[float]) -> list[float]:
    """Distinct positions; those less than a point apart count as one."""
    edges: list[float] = []
    for value in sorted(values):
        if not edges or value - edges[-1] > 1:
            edges.append(value)
    return edges


def _index(edges: Sequence[float], value: float) -> int:
    return min(range(len(edges)), key=lambda number: abs(edges[number] - value))


def _rect(box: Any, left: float, top: float, turn: Turn) -> Rect | None:
    if box is None:
        return None
    return turn.upright(Rect(box[0] - left, box[1] - top, box[2] - left, box[3] - top))


def text_outside(fragments: Sequence[Fragment], words: Sequence[Fragment], tables: Sequence[Table]) -> list[Fragment]:
    """The fragments without the text in the tables' cells. A fragment that is partly inside is split into words."""
    cells = [cell.rect for table in tables for cell in table.cells]
    outside: list[Fragment] = []
    for fragment in fragments:
        if not any(table.rect.overlap(fragment.rect) > 0 for table in tables):
            outside.append(fragment)
            continue
        own = [word for word in words if fragment.rect.holds_center_of(word.rect)] or [fragment]
        outside += [word for word in own if not any(cell.holds_center_of(word.rect) for cell in cells)]
    return outside
