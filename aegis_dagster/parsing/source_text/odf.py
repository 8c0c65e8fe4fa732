"""The text of OpenDocument files: the content, its notes and comments, headers and footers of pages."""

import io
import zipfile
from collections.abc import Iterator

from lxml import etree

from aegis_dagster.domain.left_out import LeftOut, Piece, Reason
from aegis_dagster.parsing.source_text.office import parser

_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_PARAGRAPHS = (f"{_TEXT}p", f"{_TEXT}h")
_SPACES = (f"{_TEXT}s", f"{_TEXT}tab", f"{_TEXT}line-break")
_FURNITURE = ("header", "footer", "header-left", "footer-left", "header-first", "footer-first")


def read(data: bytes, kind: str) -> Iterator[Piece | LeftOut]:
    """One piece for the content, one for each header and footer, one for each sheet's name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        content = etree.fromstring(archive.read("content.xml"), parser())
        styles = etree.fromstring(archive.read("styles.xml"), parser()) if "styles.xml" in archive.namelist() else None
    for changes in list(content.iter(f"{_TEXT}tracked-changes")):
        yield LeftOut(Reason.DELETED_TEXT, "body", _text(changes))
        changes.getparent().remove(changes)
    yield Piece("body", _text(content))
    if kind == "ods":
        for table in content.iter(f"{_TABLE}table"):
            name = table.get(f"{_TABLE}name", "")
            yield Piece(f"sheet {name}", name)
    furniture = () if styles is None else styles.iter(*(f"{_STYLE}{name}" for name in _FURNITURE))
    for text in dict.fromkeys(_text(element) for element in furniture):
        yield Piece("header or footer", text)


def _text(root: etree._Element) -> str:
    """The text of all paragraphs, each on a line of its own; of those inside others only once."""
    parts: list[str] = []
    depth = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if event == "start":
            if element.tag in _PARAGRAPHS:
                depth += 1
                parts.append("\n")
            elif element.tag in _SPACES:
                parts.append(" ")
            if depth:
                parts.append(element.text or "")
            continue
        if element.tag in _PARAGRAPHS:
            depth -= 1
            parts.append("\n")
        if depth and element is not root:
            parts.append(element.tail or "")
    return "".join(parts)
