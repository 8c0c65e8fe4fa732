"""The text of OpenDocument files: the content, its notes and comments, headers and footers of pages."""

from collections.abc import Iterator

from lxml import etree

from aegis_dagster.domain.left_out import LeftOut, Piece, Reason
from aegis_dagster.parsing.source_text.office import Package, root_of

_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_DATA = "{http://purl.org/dc/elements/1.1/}"  # who wrote a comment, and when
_PARAGRAPHS = (f"{_TEXT}p", f"{_TEXT}h")
_SPACES = (f"{_TEXT}s", f"{_TEXT}tab", f"{_TEXT}line-break")
_FURNITURE = ("header", "footer", "header-left", "footer-left", "header-first", "footer-first")


def read(data: bytes, kind: str) -> Iterator[Piece | LeftOut]:
    """One piece for the content, one for each header and footer, one for each sheet's name."""
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        content = styles = root_of(data)  # one file of XML
    else:
        package = Package(data)
        content, styles = package.xml("content.xml"), package.xml("styles.xml")
    if content is not None:
        yield from _content(content, kind)
    furniture = () if styles is None else styles.iter(*(f"{_STYLE}{name}" for name in _FURNITURE))
    for text in dict.fromkeys(_text(element) for element in furniture):
        yield Piece("header or footer", text)


def _content(root: etree._Element, kind: str) -> Iterator[Piece | LeftOut]:
    for changes in list(root.iter(f"{_TEXT}tracked-changes")):
        yield LeftOut(Reason.DELETED_TEXT, "body", _text(changes))
        changes.getparent().remove(changes)
    for body in root.iter(f"{_OFFICE}body"):
        yield Piece("body", _text(body))
    hidden = {
        style.get(f"{_STYLE}name")
        for style in root.iter(f"{_STYLE}style")
        if any(each.get(f"{_TABLE}display") == "false" for each in style)
    }
    for table in root.iter(f"{_TABLE}table") if kind == "ods" else ():
        name = table.get(f"{_TABLE}name", "")
        if table.get(f"{_TABLE}style-name") not in hidden:
            yield Piece(f"sheet {name}", name)


def _text(root: etree._Element) -> str:
    """The text of all paragraphs, each on a line of its own; of those inside others only once."""
    parts: list[str] = []
    depth = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        is_text = isinstance(element.tag, str) and not element.tag.startswith(_DATA)
        if event == "start":
            if element.tag in _PARAGRAPHS:
                depth += 1
                parts.append("\n")
            elif element.tag in _SPACES:
                parts.append(" ")
            if depth and is_text:
                parts.append(element.text or "")
            continue
        if element.tag in _PARAGRAPHS:
            depth -= 1
            parts.append("\n")
        if depth and element is not root:
            parts.append(element.tail or "")
    return "".join(parts)
