"""Reads a workbook's sheets as plain values: the text of each cell as a person sees it, and what is hidden.

Nothing is left out here; a damaged part costs itself and leaves a warning.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

from lxml import etree

from aegis_dagster.parsing.checks import corrupt
from aegis_dagster.parsing.excel.numbers import BUILT_IN, GENERAL, number_text, string_text
from aegis_dagster.parsing.excel.references import LAST_COLUMN, Range, cell_of, column_name, range_of, whole_number
from aegis_dagster.parsing.office.office_package import DamagedPart, OfficePackage, local_name, relation_id

_ESCAPED: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")
_NEWER_FUNCTION: Final = re.compile(r"\b_xl(?:fn|ws|udf)\.(?:_xl(?:fn|ws)\.)?")  # prefixes that no program shows
_MIDNIGHT: Final = re.compile(r"T00:00(:00(\.0+)?)?Z?$")
# The parts of a header or footer, and the codes in it: fonts, sizes, colours, and fields whose value is not stored.
_FIELD: Final = re.compile(r'&(?:"[^"]*"|K[0-9A-Fa-f]{2}[0-9A-Fa-f+-]{4}|\d+|[A-Za-z&])')

_Item = TypeVar("_Item")


@dataclass(slots=True)
class Sheet:
    """A sheet of a workbook. Rows and columns are counted from 1."""

    name: str
    number: int  # 1-based
    part: str
    hidden: bool
    rows: dict[int, dict[int, str]] = field(default_factory=dict)
    hidden_rows: set[int] = field(default_factory=set)
    hidden_columns: list[tuple[int, int]] = field(default_factory=list)
    masked: list[tuple[int, int, str]] = field(default_factory=list)  # row, column, value that its format hides
    merged: list[Range] = field(default_factory=list)
    tables: list[Range] = field(default_factory=list)
    unstored: list[str] = field(default_factory=list)  # cells whose formula has no stored value
    lines: list[str] = field(default_factory=list)  # of its header and footer, and hints for who fills in a cell
    embedded: list[str] = field(default_factory=list)  # kinds of embedded objects


@dataclass(slots=True)
class Workbook:
    """A workbook."""

    package: OfficePackage
    sheets: list[Sheet] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    date1904: bool = False
    strings: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)  # number formats, by style
    persons: dict[str, str] = field(default_factory=dict)  # names, by id
    computes_on_load: bool = False  # what it stores for formulas may be out of date
    zeros: list[tuple[Sheet, int, int, str]] = field(default_factory=list)  # cells whose formula has the value 0
    has_values: bool = False  # a formula has another value


def read_workbook(data: bytes) -> Workbook:
    """The workbook of an office file. Raises DocumentError CORRUPT_FILE if nothing says which sheets it has."""
    book = Workbook(package := OfficePackage(data))
    main = package.main_part("xl/workbook.xml")
    root = _list_of_sheets(book, main)
    properties = root.find("{*}workbookPr")
    calculation = root.find("{*}calcPr")
    book.computes_on_load = calculation is not None and calculation.get("fullCalcOnLoad") in ("1", "true")
    book.date1904 = properties is not None and properties.get("date1904") in ("1", "true")
    book.strings = list(_guarded(book, main, "sharedStrings", "its shared texts", _shared_strings))
    book.formats = list(_guarded(book, main, "styles", "its number formats", _number_formats))
    book.persons = dict(_guarded(book, main, "person", "the names of its commentators", _persons))
    relations = package.relations(main)
    for number, element in enumerate(root.iterfind("{*}sheets/{*}sheet"), 1):
        relation = relations.get(relation_id(element))
        state = element.get("state", "visible")
        sheet = Sheet(element.get("name", ""), number, relation.target if relation else "", state != "visible")
        book.sheets.append(sheet)
        if relation is not None:
            _read_sheet(book, sheet)
        else:
            book.warnings.append(f"Sheet {sheet.name} is missing in the file.")
    if book.computes_on_load and not book.has_values:  # programs that cannot compute write 0 for every formula
        for sheet, row, column, formula in book.zeros:
            sheet.rows.setdefault(row, {})[column] = formula
            sheet.unstored.append(f"{column_name(column)}{row}")
    return book


def _list_of_sheets(book: Workbook, main: str) -> etree._Element:
    try:
        return book.package.xml(main)
    except DamagedPart:
        book.warnings.append("The workbook is damaged: its list of sheets may not be whole.")
    try:
        return book.package.xml(main, recover=True)
    except DamagedPart as error:
        raise corrupt("its list of sheets cannot be read.") from error


def text_of(element: etree._Element) -> str:
    """The text of a cell or a comment: its runs, without the reading aids of East Asian texts."""
    parts = []
    for child in element:
        match local_name(child):
            case "t":
                parts.append(child.text or "")
            case "r":
                parts += [run.text or "" for run in child if local_name(run) == "t"]
    return unescape("".join(parts))


def unescape(text: str) -> str:
    """Text with the characters that XML cannot hold (`_x000D_`)."""
    if "_x" not in text:
        return text
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text).replace("\r\n", "\n").replace("\r", "\n")


def _guarded(
    book: Workbook, main: str, kind: str, what: str, read: Callable[[OfficePackage, str], Iterator[_Item]]
) -> Iterator[_Item]:
    for part in book.package.related(main, kind):
        try:
            yield from read(book.package, part)
        except DamagedPart:
            book.warnings.append(f"The workbook is damaged: {what} could not all be read.")


def _shared_strings(package: OfficePackage, part: str) -> Iterator[str]:
    for element in package.elements(part, "si"):
        yield text_of(element)


def _number_formats(package: OfficePackage, part: str) -> Iterator[str]:
    root = package.xml(part)
    codes = BUILT_IN | {
        whole_number(element.get("numFmtId", ""), -1): element.get("formatCode", GENERAL)
        for element in root.iterfind("{*}numFmts/{*}numFmt")
    }
    for element in root.iterfind("{*}cellXfs/{*}xf"):
        yield codes.get(whole_number(element.get("numFmtId", "")), GENERAL)


def _persons(package: OfficePackage, part: str) -> Iterator[tuple[str, str]]:
    for element in package.elements(part, "person"):
        yield element.get("id", ""), element.get("displayName", "")


def _read_sheet(book: Workbook, sheet: Sheet) -> None:
    reader = _SheetReader(book, sheet)
    names = ("row", "col", "mergeCell", "dataValidation", "hyperlink", "headerFooter", "oleObject")
    try:
        for element in book.package.elements(sheet.part, *names):
            reader.take(element)
    except DamagedPart:
        after = f" after row {max(sheet.rows)}: what follows could" if sheet.rows else " or missing: it could"
        book.warnings.append(f"Sheet {sheet.name} is damaged{after} not be read.")
    for part in book.package.related(sheet.part, "table"):
        try:
            sheet.tables.append(range_of(book.package.xml(part).get("ref", "")))
        except DamagedPart:
            continue  # its cells are in the sheet


class _SheetReader:
    """Takes a worksheet's elements one by one."""

    def __init__(self, book: Workbook, sheet: Sheet) -> None:
        self._book = book
        self._sheet = sheet
        self._row = 0
        self._shared: dict[str, tuple[str, str]] = {}  # formulas that cells share: text and first cell

    def take(self, element: etree._Element) -> None:
        """Add what an element says."""
        sheet = self._sheet
        match local_name(element):
            case "row":
                self._take_row(element)
            case "col" if element.get("hidden") in ("1", "true") or _is_nothing(element.get("width")):
                last = min(whole_number(element.get("max", "")), LAST_COLUMN)
                sheet.hidden_columns.append((whole_number(element.get("min", "")), last))
            case "mergeCell":
                sheet.merged.append(range_of(element.get("ref", "")))
            case "hyperlink":
                self._take_link(element)
            case "dataValidation":
                hint = ": ".join(filter(None, (element.get("promptTitle"), element.get("prompt"))))
                sheet.lines += [unescape(hint)] if hint else []
            case "headerFooter":
                sheet.lines += [line for child in element for line in _furniture(child.text or "")]
            case "oleObject":
                sheet.embedded.append(element.get("progId", "of an unknown kind"))

    def _take_row(self, element: etree._Element) -> None:
        self._row = whole_number(element.get("r", ""), self._row + 1)
        if element.get("hidden") in ("1", "true") or _is_nothing(element.get("ht")):
            self._sheet.hidden_rows.add(self._row)
        cells: dict[int, str] = {}
        column = 0
        for child in element:
            if local_name(child) != "c":
                continue
            reference = child.get("r")
            column = cell_of(reference)[1] if reference else column + 1
            text = self._cell_text(child, column)
            if text.strip():
                cells[column] = text
        if cells:
            self._sheet.rows.setdefault(self._row, {}).update(cells)

    def _cell_text(self, cell: etree._Element, column: int) -> str:
        value = formula = inline = None
        for child in cell:
            match local_name(child):
                case "v":
                    value = child.text or ""
                case "f":
                    formula = child
                case "is":
                    inline = text_of(child)
        kind = cell.get("t", "n")
        if formula is not None:
            written = self._formula(formula, column)
            if value is None or (not value and kind != "str"):
                self._sheet.unstored.append(f"{column_name(column)}{self._row}")
                return written
            if value == "0" and written:
                self._book.zeros.append((self._sheet, self._row, column, written))
            else:
                self._book.has_values = True
        if inline is not None:
            raw, kind = inline, "str"
        elif value is None:
            return ""
        else:
            raw = value
        shown = self._shown(raw, kind, cell.get("s", "0"))
        if not shown and raw and (hidden := self._shown(raw, kind, "").strip()) not in ("", "0"):
            self._sheet.masked.append((self._row, column, hidden))
        return shown

    def _shown(self, raw: str, kind: str, style: str) -> str:
        formats = self._book.formats
        number = whole_number(style, len(formats))
        code = formats[number] if number < len(formats) else GENERAL
        match kind:
            case "s":
                strings = self._book.strings
                place = whole_number(raw.strip(), len(strings))
                text = strings[place] if place < len(strings) else ""
                return text if code == GENERAL else string_text(text, code)
            case "str":
                text = unescape(raw)
                return text if code == GENERAL else string_text(text, code)
            case "b":
                return {"1": "TRUE", "0": "FALSE"}.get(raw.strip(), raw.upper())
            case "d":
                return _MIDNIGHT.sub("", raw).replace("T", " ")
            case "e":
                return raw
        return number_text(raw.strip(), code, date1904=self._book.date1904)

    def _formula(self, element: etree._Element, column: int) -> str:
        """The formula as a person sees it, "" where the file says only that there is one."""
        here, text, shared = f"{column_name(column)}{self._row}", element.text or "", element.get("si", "")
        if element.get("t") == "shared" and text:
            self._shared[shared] = (text, here)
        elif element.get("t") == "shared" and shared in self._shared:
            from openpyxl.formula.translate import Translator

            first, origin = self._shared[shared]
            text = str(Translator(f"={first}", origin).translate_formula(here))[1:]
        return f"={_NEWER_FUNCTION.sub('', text)}" if text else ""

    def _take_link(self, element: etree._Element) -> None:
        """A link's cell shows its text; where it has none, the link itself is all there is to see."""
        row, column = cell_of(element.get("ref", "").partition(":")[0])
        relation = self._book.package.relations(self._sheet.part).get(relation_id(element))
        shown = element.get("display") or (relation.target if relation else "") or element.get("location", "")
        if row and column and shown:
            self._sheet.rows.setdefault(row, {}).setdefault(column, shown)


def _is_nothing(size: str | None) -> bool:
    """Whether a width or a height is zero: hidden with the mouse."""
    return size is not None and size != "" and not size.strip("0.")


def _furniture(text: str) -> Iterator[str]:
    """The texts of a header or footer: left, middle, right. Its fields (page, date, name of the sheet) are left out."""
    for part in re.split(r"&[LCR]", text):
        if line := " ".join(_FIELD.sub(lambda match: "&" if match[0] == "&&" else " ", part).split()):
            yield line
