"""Finds tables by their numbers: rows of a label and numbers that stand under one another, with or without lines. Pure.

What matters most is that a label and its numbers stay in one row. Lines of a page tell little about that: a filing has
them under headings and above sums, and shades every second row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from statistics import median

from aegis_dagster.parsing.pdf.layout_rules import Fragment, Rect
from aegis_dagster.parsing.pdf.number_cells import build_number_table
from aegis_dagster.parsing.pdf.number_rules import (
    SHORT,
    Entry,
    Row,
    Span,
    extent_of,
    has_label,
    height_of,
    holds_years,
    is_data,
    is_heading_row,
    rows_of,
    split_number,
)
from aegis_dagster.parsing.pdf.tables import Table

_ROW_GAP = 2.2  # multiples of the row's height; the space between two rows of a table
_HEAD_GAP = 1.8
_MAX_HEAD_ROWS = 7
_HEAD_CHARACTERS = 75  # of one line over a column, or over several
_MAX_LABEL_ROWS = 4  # rows without numbers in succession: wrapped labels and titles of sections
_MIN_ROWS = 2
_MIN_COLUMN_GAP = 10.0  # points
_LONG_RUN = 40  # rows
_MIN_DATA = 0.25  # share of a table's rows that hold a label and a number
_PROSE = 45  # characters; the lines of a column of prose beside a table are longer, labels are mostly not


@dataclass(frozen=True, slots=True)
class NumberTable:
    """A table, and where the rows stand that hold a label and a number."""

    table: Table
    data_rows: tuple[Rect, ...]


def tables_of(ruled: Sequence[Table], words: Sequence[Fragment]) -> list[Table]:
    """The tables of a page: those that ruling lines show, where they keep rows apart, and those that numbers show.

    Lines may enclose a part of a table, or several of its rows at once: then the numbers decide.
    """
    found = find_number_tables(words)
    if ruled and found:
        rows = [row for number_table in found for row in number_table.data_rows]
        ruled = [table for table in ruled if _keeps_apart(table, rows)]
        for number_table in found:
            if not (_hold_most_rows(ruled, number_table) or _holds_alone(ruled, number_table, words)):
                ruled = [table for table in ruled if table.rect.overlap(number_table.table.rect) == 0]
        cells = [cell.rect for table in ruled for cell in table.cells]
        if cells:
            found = find_number_tables([w for w in words if not any(cell.holds_center_of(w.rect) for cell in cells)])
    return [*ruled, *(number_table.table for number_table in found)]


def _keeps_apart(table: Table, rows: Sequence[Rect]) -> bool:
    """Whether no row of the table holds two rows of labels and numbers."""
    bands = {cell.row: cell.rect for cell in table.cells if cell.rows == 1}
    inside = [row for row in rows if table.rect.holds_center_of(row)]
    return all(
        sum(band.top < (row.top + row.bottom) / 2 < band.bottom for row in inside) < 2 for band in bands.values()
    )


def _hold_most_rows(ruled: Sequence[Table], found: NumberTable) -> bool:
    """Whether ruled tables, side by side or alone, hold most of the rows of a table that numbers show."""
    held = [sum(table.rect.overlap(row) for table in ruled) > 0.5 * row.area for row in found.data_rows]
    return sum(held) * 2 > len(held)


def _holds_alone(ruled: Sequence[Table], found: NumberTable, words: Sequence[Fragment]) -> bool:
    """Whether one ruled table holds the labels and numbers of all rows: the rest is a column of text beside it."""
    for table in ruled:
        if table.rect.overlap(found.table.rect) > 0:
            inside = [word for word in words if table.rect.holds_center_of(word.rect)]
            if sum(len(alone.data_rows) for alone in find_number_tables(inside)) >= len(found.data_rows):
                return True
    return False


def find_number_tables(words: Sequence[Fragment]) -> list[NumberTable]:
    """The tables of a page's words, from top to bottom."""
    rows = rows_of(words)
    found: list[NumberTable] = []
    free = first = 0  # `free`: the first row that no table has taken
    while first < len(rows):
        run, columns = _run(rows, first) if is_data(_without_remark(rows[first])) else ([], [])
        table = _table(rows[free:first], run, columns, words) if run else None
        if table is not None:
            found.append(table)
            free = first + len(run)
        # A run that is no table may hold one farther down. A part of a long one is passed over: time stays linear.
        first += len(run) if table is not None else 1 + len(run) // _LONG_RUN
    return found


def _without_remark(row: Row) -> Row:
    """The row up to its last number: a longer text after it may be a column of prose beside the table."""
    last = max((index for index, entry in enumerate(row) if entry.number), default=len(row))
    return row[: last + 1] if any(len(entry.text) > SHORT for entry in row[last + 1 :]) else row


def _run(rows: Sequence[Row], first: int) -> tuple[list[Row], list[Span]]:
    """The rows of one table from its first row with numbers to its last one, and the columns of its numbers.

    A row of which all stands beside the table is empty.
    """
    run = [_without_remark(rows[first])]
    columns = _united([], run[0])
    waiting: list[Row] = []
    above = extent_of(run[0])
    for row in rows[first + 1 :]:
        parts = [part for entry in row for part in split_number(entry, columns)]
        fitted = [e for e in _without_remark(parts) if e.rect.left < columns[-1][1] or len(e.text) <= SHORT]
        if not fitted:
            waiting.append(fitted)
            continue
        extent = extent_of(fitted)
        if extent.top - above.bottom > _ROW_GAP * height_of(fitted):
            break
        above = extent
        if is_data(fitted):
            united = _united(columns, fitted)
            if len(united) < len(columns):
                break
            columns = united
            run += [*waiting, fitted]
            waiting = []
        elif sum(map(bool, waiting)) < _MAX_LABEL_ROWS and not any(_crosses(entry, columns) for entry in fitted):
            waiting.append(fitted)
        else:
            break
    run += takewhile(lambda row: _names_a_value(row, columns), waiting)
    return _with_remarks(rows[first : first + len(run)], run, columns), columns


def _names_a_value(row: Row, columns: Sequence[Span]) -> bool:
    """Whether a row below the last number has a label and a short text in a column of numbers: "Status: open"."""
    values = [entry for entry in row if any(_share(entry.rect, span) > 0.5 for span in columns)]
    label = row[0] if row else None
    return (
        label is not None
        and label.rect.right < columns[0][0]
        and bool(values)
        and all(len(entry.text) <= SHORT for entry in values)
    )


def _with_remarks(rows: Sequence[Row], run: Sequence[Row], columns: Sequence[Span]) -> list[Row]:
    """The rows with the texts after their numbers only if these make a column: one in most rows, none between them."""
    short = [[entry for entry in row if entry.rect.left <= columns[-1][1]] for row in run]
    remarks = [[entry for entry in row if not entry.number and entry.rect.left > columns[-1][1]] for row in rows]
    data = [bool(row) and is_data(row) for row in short]
    beside = sum(bool(found) for found, holds in zip(remarks, data, strict=True) if holds)
    elsewhere = sum(bool(found) for found, holds in zip(remarks, data, strict=True) if not holds)
    if beside < 0.7 * sum(data) or elsewhere > 0.2 * sum(data):
        return short
    return [[*row, *found] for row, found in zip(short, remarks, strict=True)]


def _united(columns: Sequence[Span], row: Row) -> list[Span]:
    """The columns of numbers after one more row."""
    spans = sorted(
        [*columns, *((entry.rect.left, entry.rect.right) for entry in row if entry.number and not entry.is_sign)]
    )
    united: list[Span] = []
    for left, right in spans:
        if united and left < united[-1][1]:
            united[-1] = (united[-1][0], max(united[-1][1], right))
        else:
            united.append((left, right))
    return united


def _crosses(entry: Entry, columns: Sequence[Span]) -> bool:
    """Whether a text runs from before the numbers to their last column, as prose does."""
    rect = entry.rect
    return rect.left < columns[0][0] - rect.height and rect.right > columns[-1][0] and len(entry.text) > SHORT


def _table(above: Sequence[Row], run: list[Row], numbers: list[Span], words: Sequence[Fragment]) -> NumberTable | None:
    run, columns = _without_prose([row for row in run if row], numbers)
    extents = [extent_of(row) for row in run]
    sides = min(extent.left for extent in extents), max(extent.right for extent in extents)
    head = _head(above, run[0], sides, numbers)
    data = [row for row in run if is_data(row) and has_label(row)]
    labelled = sum(not holds_years(row) for row in data) >= _MIN_ROWS and len(data) >= _MIN_DATA * len(run)
    if not labelled and not _names_all(head, numbers):
        return None  # dates in running text, or a form
    rows = [*head, *run]
    table = build_number_table(rows, len(head), columns, numbers[0][0])
    taken = {word.rect for row in rows for entry in row for word in entry.words}
    if any(_lost(word, table, taken) for word in words):
        return None
    return NumberTable(table, tuple(extent_of(row) for row in data))


def _lost(word: Fragment, table: Table, taken: set[Rect]) -> bool:
    """Whether a word of other rows stands in one of the table's cells: it would be in neither text nor table."""
    if word.rect in taken or not any(character.isalnum() for character in word.text):
        return False
    inside = table.rect.holds_center_of(word.rect) and any(c.rect.holds_center_of(word.rect) for c in table.cells)
    return inside and not any(rect.overlap(word.rect) > 0 for rect in taken)


def _without_prose(run: list[Row], numbers: list[Span]) -> tuple[list[Row], list[Span]]:
    """The rows without columns of prose at their sides, and all columns, from left to right."""
    texts = [entry for row in run for entry in row if not entry.number]
    free = [entry for entry in texts if not any(_share(entry.rect, span) > 0 for span in numbers)]
    spans: list[Span] = []
    for left, right in sorted((entry.rect.left, entry.rect.right) for entry in free):
        if spans and left - spans[-1][1] < 1.0:
            spans[-1] = (spans[-1][0], max(spans[-1][1], right))
        else:
            spans.append((left, right))
    before = [span for span in spans if span[0] < numbers[0][0]]
    beside = [span for span in spans if span[0] > numbers[-1][1]]
    prose = [span for span in (*before[:-1][:1], *beside[-1:]) if _is_prose(span, free)]
    kept = [[entry for entry in row if not any(_share(entry.rect, span) > 0.5 for span in prose)] for row in run]
    columns = sorted([*numbers, *(span for span in spans if span not in prose)])
    return [row for row in kept if row], columns


def _is_prose(span: Span, texts: Sequence[Entry]) -> bool:
    lengths = [len(entry.text) for entry in texts if _share(entry.rect, span) > 0.5]
    return median(lengths) > _PROSE


def _share(rect: Rect, span: Span) -> float:
    """The share of a rectangle's width that lies in a span."""
    return (min(rect.right, span[1]) - max(rect.left, span[0])) / max(rect.width, 0.1)


def _head(above: Sequence[Row], first: Row, extent: Span, numbers: list[Span]) -> list[Row]:
    """The rows above the numbers that head their columns; titles over the whole table are none."""
    taken: list[Row] = []
    sure = 0
    below = extent_of(first)
    for row in list(reversed(above))[:_MAX_HEAD_ROWS]:
        inside = [entry for entry in row if entry.rect.right > extent[0] and entry.rect.left < extent[1]]
        rect = extent_of(row)
        if is_data(_without_remark(row)) and not is_heading_row(_without_remark(row)):
            break  # a row of another table
        if not inside or below.top - rect.bottom > _HEAD_GAP * height_of(row):
            break
        if any(len(entry.text) > _HEAD_CHARACTERS for entry in inside):
            break
        if any(entry.rect.left < extent[0] - 4 * entry.rect.height for entry in inside):
            break
        if any(_is_title(entry, extent, numbers) for entry in inside):
            break
        taken.append(inside)
        below = rect
        if any(entry.rect.right > numbers[0][0] for entry in inside):
            sure = len(taken)
    return list(reversed(taken[:sure]))


def _names_all(head: Sequence[Row], numbers: Sequence[Span]) -> bool:
    """Whether three or more columns of numbers have each a heading of its own: then even one row is a table."""
    names = [entry.rect for row in head for entry in row if not entry.number]
    gaps = [after[0] - before[1] for before, after in pairwise(numbers)]
    if len(numbers) < 3 or min(gaps) < _MIN_COLUMN_GAP:
        return False  # a telephone number has gaps too
    return all(
        any(_share(name, span) > 0.5 or (name.left <= span[0] and span[1] <= name.right) for name in names)
        and sum(name.left < span[1] and span[0] < name.right for name in names) <= len(head)
        for span in numbers
    )


def _is_title(entry: Entry, extent: Span, numbers: Sequence[Span]) -> bool:
    """Whether a text begins well before the numbers, or at the table's edge, and ends among them."""
    rect = entry.rect
    if rect.left < numbers[0][0] - 6 * rect.height:
        return rect.right > numbers[0][0] + rect.height
    return len(numbers) > 1 and rect.left < extent[0] + rect.height and rect.right > numbers[1][0]
