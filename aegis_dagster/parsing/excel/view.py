"""What a person sees of a sheet: hidden sheets, rows, columns and values are left out (and listed) or read, as set."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from aegis_dagster.domain.left_out import LeftOut, Reason
from aegis_dagster.parsing.excel.drawings import Drawn, controls_on, drawn_on
from aegis_dagster.parsing.excel.notes import Note, notes_on
from aegis_dagster.parsing.excel.references import Range, column_name, range_of
from aegis_dagster.parsing.excel.regions import Region, find_regions
from aegis_dagster.parsing.excel.sheets import Sheet, Workbook

# A reference to cells of a sheet; charts name several of them in brackets.
_REFERENCE: Final = re.compile(r"(?:'((?:[^']|'')*)'|([^'!,()]+))!(\$?[A-Z]*\$?\d*(?::\$?[A-Z]*\$?\d*)?)")
_MOST_CHART_CELLS: Final = 1_000_000  # that the charts of a workbook may look up together


@dataclass(slots=True)
class View:
    """What is read of a sheet, and what is left out."""

    sheet: Sheet
    regions: list[Region] = field(default_factory=list)
    drawn: list[Drawn] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)  # of its header and footer, and hints
    left_out: list[LeftOut] = field(default_factory=list)
    whole: bool = True  # False: the sheet itself is left out

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see."""
        return not (self.regions or self.drawn or self.notes or self.lines or self.sheet.embedded)


def views_of(book: Workbook, *, read_hidden: bool) -> list[View]:
    """The views of all sheets, in their order. A header or footer that several sheets repeat is read once."""
    cells = _ChartCells(book)
    seen: set[str] = set()
    views = []
    for sheet in book.sheets:
        drawn = list(drawn_on(book, sheet, cells.resolve))
        drawn += [
            control for control in controls_on(book, sheet) if control.text not in {thing.text for thing in drawn}
        ]
        notes, copies = notes_on(book, sheet)
        if sheet.hidden and not read_hidden:
            views.append(View(sheet, left_out=[_hidden_sheet(sheet, drawn, notes)], whole=False))
            continue
        view = _read(sheet, drawn, notes) if read_hidden else _seen(sheet, drawn, notes)
        for note in copies:
            place = f"sheet {sheet.name}, comment on {column_name(note.column)}{note.row}"
            view.left_out.append(LeftOut(Reason.OTHER_BODY, place, note.text))
        for line in dict.fromkeys(sheet.lines):
            if line in seen:
                view.left_out.append(LeftOut(Reason.RUNNING_LINE, f"sheet {sheet.name}", line))
            else:
                view.lines.append(line)
                seen.add(line)
        views.append(view)
    return views


def _hidden_sheet(sheet: Sheet, drawn: list[Drawn], notes: list[Note]) -> LeftOut:
    texts = [sheet.name, *(text for row in sheet.rows.values() for text in row.values())]
    texts += [text for thing in drawn for text in _texts(thing)] + [note.text for note in notes] + sheet.lines
    texts += [text for *_, text in sheet.masked]
    return LeftOut(Reason.HIDDEN_SHEET, f"sheet {sheet.name}", "\n".join(texts))


def _texts(thing: Drawn) -> Iterator[str]:
    yield from filter(None, (thing.text, thing.alternative))
    if chart := thing.chart:
        yield from filter(None, (chart.title, chart.corner, *chart.others, *chart.categories))
        yield from (text for name, values in chart.series for text in (name, *values) if text)


def _read(sheet: Sheet, drawn: list[Drawn], notes: list[Note]) -> View:
    """A sheet with everything hidden on it."""
    cells = {row: dict(values) for row, values in sheet.rows.items()}
    for row, column, text in sheet.masked:
        cells.setdefault(row, {})[column] = text
    return View(sheet, find_regions(cells, sheet.merged, sheet.tables), drawn, notes)


def _seen(sheet: Sheet, drawn: list[Drawn], notes: list[Note]) -> View:
    """A sheet without what is hidden on it. What is left moves together, so that tables stay tables."""
    fold = _Fold(sheet)
    cells: dict[int, dict[int, str]] = {}
    columns: dict[int, list[str]] = {}
    view = View(sheet)
    for row, values in sheet.rows.items():
        if row in sheet.hidden_rows:
            place = f"sheet {sheet.name}, row {row}"
            view.left_out.append(LeftOut(Reason.HIDDEN_ROW, place, "\n".join(values.values())))
            continue
        kept: dict[int, str] = {}
        for column, text in values.items():
            if fold.hides(column):
                columns.setdefault(column, []).append(text)
            else:
                kept[fold.column(column)] = text
        if kept:
            cells[fold.row(row)] = kept
    for column, texts in sorted(columns.items()):
        place = f"sheet {sheet.name}, column {column_name(column)}"
        view.left_out.append(LeftOut(Reason.HIDDEN_COLUMN, place, "\n".join(texts)))
    for row, column, text in sheet.masked:
        place = f"sheet {sheet.name}, cell {column_name(column)}{row}"
        view.left_out.append(LeftOut(Reason.HIDDEN_TEXT, place, text))
    for thing in drawn:
        if thing.hidden:
            view.left_out.append(LeftOut(Reason.HIDDEN_TEXT, f"sheet {sheet.name}", "\n".join(_texts(thing))))
        else:
            view.drawn.append(thing)
    for note in notes:
        if note.row in sheet.hidden_rows or fold.hides(note.column):
            reason = Reason.HIDDEN_ROW if note.row in sheet.hidden_rows else Reason.HIDDEN_COLUMN
            place = f"sheet {sheet.name}, comment on {column_name(note.column)}{note.row}"
            view.left_out.append(LeftOut(reason, place, note.text))
        else:
            view.notes.append(note)
    view.regions = find_regions(cells, map(fold.area, sheet.merged), map(fold.area, sheet.tables))
    return view


class _Fold:
    """Counts rows and columns without the hidden ones."""

    def __init__(self, sheet: Sheet) -> None:
        self._rows = sorted(sheet.hidden_rows)
        self._columns: list[int] = []
        for first, last in sorted(sheet.hidden_columns):
            self._columns += range(max(first, self._columns[-1] + 1 if self._columns else 1), last + 1)
        self._hidden = frozenset(self._columns)

    def hides(self, column: int) -> bool:
        return column in self._hidden

    def row(self, row: int) -> int:
        return row - bisect_left(self._rows, row)

    def column(self, column: int) -> int:
        return column - bisect_left(self._columns, column)

    def area(self, area: Range) -> Range:
        top, left, bottom, right = area
        last = bottom - bisect_right(self._rows, bottom), right - bisect_right(self._columns, right)
        return self.row(top), self.column(left), *last


class _ChartCells:
    """Looks up the cells of which a chart does not keep the values."""

    def __init__(self, book: Workbook) -> None:
        self._sheets = {sheet.name: (sheet, max(sheet.rows)) for sheet in book.sheets if sheet.rows}
        self._left = _MOST_CHART_CELLS

    def resolve(self, reference: str) -> list[str]:
        """The texts of the cells, row by row, "" for empty ones; no more of them than the sheet has rows."""
        texts: list[str] = []
        for match in _REFERENCE.finditer(reference):
            found = self._sheets.get((match[1] or "").replace("''", "'") or (match[2] or "").strip())
            if found is not None:
                texts += self._area(found[0], range_of(match[3]), found[1])
        return texts

    def _area(self, sheet: Sheet, area: Range, last: int) -> Iterator[str]:
        top, left, bottom, right = area
        for row in range(top, min(bottom, last) + 1):
            cells = sheet.rows.get(row, {})
            for column in range(left, right + 1):
                if self._left <= 0:
                    return
                self._left -= 1
                yield cells.get(column, "")
