"""The text of workbooks: names of sheets, cells, comments, drawings, printed headers and footers.

Numbers are compared as people see them where their format is no more than digits and a per cent sign. Dates, fractions
and formats of several parts are left to the real reader.
"""

import re
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal

from lxml import etree

from aegis_dagster.domain.left_out import Piece
from aegis_dagster.parsing.source_text.office import Package, R, alternative_texts, text_of

_S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_DRAWN = "{http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing}cNvPr"
_DRAWINGS = ("comments", "threadedComment", "drawing", "chart", "diagramData")
# Of number formats: what is no digit, and those that are compared (ECMA-376 part 1, 18.8.30).
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]|[$€£¥()+\- ]')
_DIGITS = re.compile(r"([#0,]*[#0])(?:\.(0+))?(%?)")
_BUILT_IN = {"0": "General", "1": "0", "2": "0.00", "3": "#,##0", "4": "#,##0.00", "9": "0%", "10": "0.00%"}
_LONGEST = 255  # characters of a format
_LARGEST = Decimal(10) ** 15
_CODE = re.compile(r'&(?:"[^"]*"|K[0-9A-Fa-f]{6}|\d+|[A-Za-z])')  # in printed headers: fonts, positions, page numbers


def read(data: bytes, kind: str) -> Iterator[Piece]:
    """Of each sheet: its name, its cells, and what it leads to."""
    package = Package(data)
    main = package.main()
    root = package.xml(main)
    if root is None:
        return
    links = package.links(main)
    strings = _shared_strings(package, main)
    formats = _formats(package, main)
    for sheet in root.iter(f"{_S}sheet"):
        name = sheet.get("name", "")
        place = f"sheet {name}"
        yield Piece(place, name)
        part = links.get(sheet.get(f"{R}id", ""), ("", ""))[1]
        content = package.xml(part)
        if content is not None:
            yield Piece(place, "\n".join(_cells(content, strings, formats)))
            yield from _furniture(content, place)
            yield from _drawn(package, part, place)


def _shared_strings(package: Package, main: str) -> list[str]:
    for part in package.linked(main, "sharedStrings"):
        root = package.xml(part)
        if root is not None:
            return [_rich_text(item) for item in root.iter(f"{_S}si")]
    return []


def _rich_text(item: etree._Element) -> str:
    """The text of a string without its readings (`rPh`)."""
    return "".join(text.text or "" for text in item.iter(f"{_S}t") if text.getparent().tag != f"{_S}rPh")


def _formats(package: Package, main: str) -> dict[str, str]:
    """The number format of each style; "" where it is not compared."""
    formats = {"": "General"}
    for part in package.linked(main, "styles"):
        root = package.xml(part)
        styles = root.find(f"{_S}cellXfs") if root is not None else None
        if root is None or styles is None:
            continue
        own = {each.get("numFmtId", ""): each.get("formatCode", "") for each in root.iter(f"{_S}numFmt")}
        for at, style in enumerate(styles):
            number = style.get("numFmtId", "0")
            formats[str(at)] = _LITERAL.sub("", own.get(number, _BUILT_IN.get(number, ""))[:_LONGEST])
    return formats


def _cells(sheet: etree._Element, strings: list[str], formats: dict[str, str]) -> Iterator[str]:
    for cell in sheet.iter(f"{_S}c"):
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            yield _rich_text(cell)
            continue
        value = next((child.text or "" for child in cell if child.tag == f"{_S}v"), "")
        if kind == "s":
            at = int(value) if value.isdecimal() else len(strings)
            yield strings[at] if at < len(strings) else ""
        elif kind == "str":
            yield value
        elif kind == "n" and value:
            yield _number(value, formats.get(cell.get("s", ""), ""))


def _number(value: str, code: str) -> str:
    """The digits that a format shows of a number; "" if they are not compared."""
    try:
        number = abs(Decimal(f"{float(value):.15g}"))
        if code == "General":
            return f"{number.normalize():f}" if number < _LARGEST and number.adjusted() >= -10 else ""
        digits = _DIGITS.fullmatch(code)
        if digits is None or number >= _LARGEST:
            return ""
        whole, places, percent = digits.groups(default="")
        number = (number * 100 if percent else number).quantize(Decimal(1).scaleb(-len(places)), ROUND_HALF_UP)
    except (ArithmeticError, ValueError):
        return ""
    before, point, after = (f"{number:,f}" if "," in whole else f"{number:f}").partition(".")
    return f"{before.lstrip('0').zfill(whole.count('0'))}{point}{after}"


def _furniture(sheet: etree._Element, place: str) -> Iterator[Piece]:
    for element in sheet.iter(f"{_S}headerFooter"):
        for line in dict.fromkeys(child.text or "" for child in element):
            yield Piece(f"{place}, printed header or footer", _CODE.sub(" ", line))


def _drawn(package: Package, part: str, place: str) -> Iterator[Piece]:
    """Comments, text boxes, titles of charts, diagrams and alternative texts. The values of charts stand in cells."""
    for kind, other in package.links(part).values():
        root = package.xml(other) if kind in _DRAWINGS else None
        if root is None:
            continue
        if kind == "comments":
            authors = [author.text or "" for author in root.iter(f"{_S}author")]
            for comment in root.iter(f"{_S}comment"):
                if not _is_stand_in(comment, authors):
                    yield Piece(f"{place}, comment at {comment.get('ref', '')}", _rich_text(comment))
        elif kind == "threadedComment":
            for comment in root.iter("{*}threadedComment"):
                yield Piece(f"{place}, comment at {comment.get('ref', '')}", comment.findtext("{*}text", ""))
        else:
            yield Piece(f"{place}, {kind}", text_of(root))
            for text in alternative_texts(root, _DRAWN):
                yield Piece(f"{place}, alternative text", text)
            yield from _drawn(package, other, place)


def _is_stand_in(comment: etree._Element, authors: list[str]) -> bool:
    """Whether it only tells old programs that they cannot show a threaded comment."""
    at = comment.get("authorId", "")
    return at.isdecimal() and int(at) < len(authors) and authors[int(at)].startswith("tc=")
