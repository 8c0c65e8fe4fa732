"""Makes a document of a CSV file: its tables, and the lines that stand before, between and after them.

Imports docling_core only within `read`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aegis_dagster.domain.left_out import LeftOut, Reason
from aegis_dagster.parsing.readers import Parsed
from aegis_dagster.parsing.text.csv_records import Record, read_records
from aegis_dagster.parsing.text.encodings import decode, without_controls

if TYPE_CHECKING:
    from docling_core.types.doc.document import DoclingDocument

_TAB_SUFFIXES: Final = (".tsv", ".tab")
_NUMBER: Final = re.compile(r"[-+(]?[\d.,:/ '%€$£-]*\d[\d.,:/ '%€$£)-]*")
_TITLE_LENGTH: Final = 100
_MANY: Final = 0.1  # of a table's rows: not single lines that went wrong
_NUMBERS_NAMED: Final = 8
# A cell of a table takes 3 kB of memory where it is written and where it is read, in text about 20 bytes.
_CELLS: Final = 100_000  # of all tables; the rows after that are text, in Markdown, with the header above each block
_ROWS: Final = 500  # of a block


@dataclass(slots=True)
class _Table:
    """Rows of equal width; the first holds the names of the columns."""

    rows: list[list[str]]


@dataclass(slots=True)
class _Troubles:
    """The lines that are not as the others, by what is wrong with them."""

    short: list[int] = field(default_factory=list)
    long: list[int] = field(default_factory=list)
    wide: list[int] = field(default_factory=list)
    open_quotes: list[int] = field(default_factory=list)
    controls: list[int] = field(default_factory=list)

    def warnings(self) -> tuple[str, ...]:
        """What a person should know, with the numbers of the lines."""
        told = (
            (self.short, "fewer columns than the table; the missing cells are empty"),
            (self.long, "more columns than the table; the last column holds what is too much"),
            (self.wide, "more columns than the other lines; the table is as wide as they are"),
            (self.open_quotes, "a quote that is never closed; it was read as a character"),
            (self.controls, "NUL or other control characters; they were left out"),
        )
        return tuple(f"{_lines(numbers)} {what}." for numbers, what in told if numbers)


def read(data: bytes, *, name: str, kind: str, options: dict[str, Any]) -> Parsed:
    """The document of a CSV file, as `readers.Reader` has it."""
    from docling_core.types.doc.document import DoclingDocument

    decoded = decode(data)
    troubles = _Troubles()
    text, troubles.controls = without_controls(decoded.text)
    found = read_records(text, tabs=name.endswith(_TAB_SUFFIXES))
    troubles.open_quotes = [record.line for record in found.records if record.broken]
    left_out = (LeftOut(Reason.HIDDEN_TEXT, "line 1", found.separator_line),) if found.separator_line else ()
    document = DoclingDocument(name=name)
    if found.delimiter is None:
        rows = [[record.cells[0]] for record in found.records if not record.is_blank]
        parts: list[str | _Table] = [_Table(rows)] if rows else []
    else:
        parts = list(_parts(found.records, found.delimiter, troubles))
    _fill(document, parts)
    return Parsed(document, "csv", (*decoded.warnings(), *troubles.warnings()), left_out)


def _lines(numbers: Sequence[int]) -> str:
    named = ", ".join(f"{number:,}" for number in numbers[:_NUMBERS_NAMED])
    if len(numbers) == 1:
        return f"Line {named} has"
    more = len(numbers) - _NUMBERS_NAMED
    return f"Lines {named}{f' and {more:,} more' if more > 0 else ''} have"


def _parts(records: list[Record], delimiter: str, troubles: _Troubles) -> Iterator[str | _Table]:
    """Lines of text and tables, in order. Blank lines divide tables, unless the rows go on as before."""
    table: _Table | None = None
    for group in _groups(records):
        width = _width(group)
        if table is not None and _goes_on(table, group[0], width):
            rows, after = _cut_off_footer(group)
            table.rows.extend(_fit(record, width, len(table.rows[0]), delimiter, troubles) for record in rows)
        else:
            if table is not None:
                yield table
            before, rows, after = _around_table(group, width, alone=len(group) == len(records))
            table = None
            yield from (_as_text(record) for record in before)
            if rows:
                widest = _widened(rows, width)
                table = _Table([_fit(record, width, widest, delimiter, troubles) for record in rows])
        if after:
            if table is not None:
                yield table
                table = None
            yield from (_as_text(record) for record in after)
    if table is not None:
        yield table


def _around_table(group: list[Record], width: int, *, alone: bool) -> tuple[list[Record], list[Record], list[Record]]:
    """The records before the header, those of the table, and those after it. One row is a table only if it is alone."""
    start = next((at for at, record in enumerate(group) if _is_row(record, width)), None)
    if width < 2 or start is None:
        return group, [], []
    rows, after = _cut_off_footer(group[start:])
    return (group[:start], rows, after) if len(rows) > 1 or alone else (group, [], [])


def _cut_off_footer(rows: list[Record]) -> tuple[list[Record], list[Record]]:
    """The rows, and the lines of a single field that follow them."""
    end = max((at for at, record in enumerate(rows, 1) if len(record.cells) > 1), default=0)
    return rows[:end], rows[end:]


def _groups(records: Iterable[Record]) -> Iterator[list[Record]]:
    group: list[Record] = []
    for record in records:
        if not record.is_blank:
            group.append(record)
        elif group:
            yield group
            group = []
    if group:
        yield group


def _width(group: list[Record]) -> int:
    """The number of columns that most records have, without those that are empty in all of them."""
    cells = Counter(len(record.cells) for record in group if len(record.cells) > 1)
    if not cells:
        return 1
    usual = max(cells, key=lambda width: (cells[width], width))
    return max(record.width for record in group if len(record.cells) == usual)


def _is_row(record: Record, width: int) -> bool:
    """Whether this may be the first row of a table: a title that delimiters fill up is not."""
    filled = sum(bool(cell) for cell in record.cells)
    return len(record.cells) >= width and 2 * filled > width


def _goes_on(table: _Table, record: Record, width: int) -> bool:
    """Whether a record after a blank line is one more row: it has numbers in the columns of numbers."""
    header, *body = table.rows
    cells = record.cells[: len(header)]
    if len(record.cells) < 2 or cells == header or width > len(header):
        return False
    sample = body[:100]
    numeric = [
        at for at in range(len(header)) if sample and 2 * sum(_is_number(row[at]) for row in sample) > len(sample)
    ]
    if not numeric:
        return record.width == len(header)
    return 2 * sum(at < len(cells) and _is_number(cells[at]) for at in numeric) >= len(numeric)


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


def _widened(rows: list[Record], width: int) -> int:
    """The width of the table: that of its widest row, if rows so wide are many."""
    wider = [row.width for row in rows if row.width > width]
    return max(wider) if len(wider) > _MANY * len(rows) and max(wider) <= 2 * width + 2 else width


def _fit(record: Record, usual: int, width: int, delimiter: str, troubles: _Troubles) -> list[str]:
    """The cells of a row of that width, all text kept. `usual`: the width of most rows."""
    cells = record.cells[: record.width]
    if len(cells) > width:
        troubles.long.append(record.line)
        return [*cells[: width - 1], f"{delimiter} ".join(cells[width - 1 :]).strip()]
    if len(cells) > usual:
        troubles.wide.append(record.line)
    elif len(record.cells) < usual:
        troubles.short.append(record.line)
    return [*cells, *[""] * (width - len(cells))]


def _as_text(record: Record) -> str:
    cells = [cell for cell in record.cells if cell]
    return f"{cells[0].removesuffix(':')}: {cells[1]}" if len(cells) == 2 else " | ".join(cells)


def _fill(document: "DoclingDocument", parts: list[str | _Table]) -> None:
    """Add the parts. The first line before a table, if it is short, is the heading of what follows."""
    from docling_core.types.doc.labels import DocItemLabel

    starts = True
    cells = _CELLS
    for at, part in enumerate(parts):
        if isinstance(part, _Table):
            header, *rows = part.rows
            fitting = cells // len(header)
            _add_table(document, part.rows[: fitting + 1])
            cells = max(0, cells - len(header) * len(part.rows))
            for start in range(fitting, len(rows), _ROWS):
                document.add_text(DocItemLabel.TEXT, _as_markdown(header, rows[start : start + _ROWS]))
            starts = True
        else:
            short = len(part) <= _TITLE_LENGTH and not part.endswith((".", ":"))
            if starts and short and any(isinstance(other, _Table) for other in parts[at:]):
                document.add_heading(part, level=1)
            else:
                document.add_text(DocItemLabel.TEXT, part)
            starts = False


def _as_markdown(header: list[str], rows: list[list[str]]) -> str:
    """Rows as the chunks have them."""
    lines = [header, ["-"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def _add_table(document: "DoclingDocument", rows: list[list[str]]) -> None:
    from docling_core.types.doc.items.table.table_data import TableData

    from aegis_dagster.parsing.table_cells import table_cell

    cells = [
        table_cell(text, row, column, header=row == 0)
        for row, cells in enumerate(rows)
        for column, text in enumerate(cells)
        if text
    ]
    document.add_table(data=TableData(num_rows=len(rows), num_cols=len(rows[0]), table_cells=cells))
