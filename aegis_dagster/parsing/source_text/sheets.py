"""The text of workbooks: names of sheets, cells, comments, drawings, printed headers and footers.

Numbers are compared where people see them as they are stored: whole numbers and decimals without a number format. The
others depend on formats, which the real reader applies.
"""

import re
from collections.abc import Iterator

from lxml import etree

from aegis_dagster.domain.left_out import Piece
from aegis_dagster.parsing.source_text.office import Package, R, alternative_texts, text_of

_S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_DRAWN = "{http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing}cNvPr"
_DRAWINGS = ("comments", "threadedComment", "drawing", "chart", "diagramData")
_WHOLE = re.compile(r"-?\d{1,15}")
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
    plain = _plain_styles(package, main)
    for sheet in root.iter(f"{_S}sheet"):
        name = sheet.get("name", "")
        place = f"sheet {name}"
        yield Piece(place, name)
        part = links.get(sheet.get(f"{R}id", ""), ("", ""))[1]
        content = package.xml(part)
        if content is not None:
            yield Piece(place, "\n".join(_cells(content, strings, plain)))
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


def _plain_styles(package: Package, main: str) -> set[str]:
    """The styles of cells that show numbers as they are stored."""
    plain = {""}
    for part in package.linked(main, "styles"):
        root = package.xml(part)
        formats = root.find(f"{_S}cellXfs") if root is not None else None
        if formats is not None:
            plain |= {str(at) for at, style in enumerate(formats) if style.get("numFmtId", "0") in ("0", "1")}
    return plain


def _cells(sheet: etree._Element, strings: list[str], plain: set[str]) -> Iterator[str]:
    for cell in sheet.iter(f"{_S}c"):
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            yield _rich_text(cell)
            continue
        value = next((child.text or "" for child in cell if child.tag == f"{_S}v"), "")
        if kind == "s":
            at = int(value) if value.isdecimal() else len(strings)
            yield strings[at] if at < len(strings) else ""
        elif kind == "str" or (kind == "n" and _WHOLE.fullmatch(value) and cell.get("s", "") in plain):
            yield value


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
