"""The names of WordprocessingML elements and attributes, and the few things that are asked of any of them.

Imports lxml: load it in a worker.
"""

from typing import Any, Final

from lxml import etree

# lxml has no types: an element of a part's tree.
Element = Any

_WML: Final = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_MATH: Final = "http://schemas.openxmlformats.org/officeDocument/2006/math"
_RELATIONSHIPS: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
W: Final = f"{{{_WML}}}"
W14: Final = "{http://schemas.microsoft.com/office/word/2010/wordml}"
W15: Final = "{http://schemas.microsoft.com/office/word/2012/wordml}"
R: Final = f"{{{_RELATIONSHIPS}}}"
A: Final = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
MC: Final = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
V: Final = "{urn:schemas-microsoft-com:vml}"

BODY: Final = W + "body"
P: Final = W + "p"
P_PR: Final = W + "pPr"
RUN: Final = W + "r"
R_PR: Final = W + "rPr"
T: Final = W + "t"
MATH_T: Final = f"{{{_MATH}}}t"
TABLE: Final = W + "tbl"
ROW: Final = W + "tr"
CELL: Final = W + "tc"
HYPERLINK: Final = W + "hyperlink"
VAL: Final = W + "val"
ID: Final = W + "id"

_PRESERVE: Final = "{http://www.w3.org/XML/1998/namespace}space"
_SPACES: Final = (W + "tab", W + "br", W + "cr", W + "ptab")
_TEXTS: Final = (T, MATH_T, W + "delText")
_OFF: Final = frozenset({"0", "false", "off"})


def text_of(element: Element) -> str:
    """The text inside an element, deleted text included: breaks and tabs as spaces, a space between paragraphs."""
    parts: list[str] = []
    for node in element.iter(*_TEXTS, *_SPACES, W + "noBreakHyphen", P):
        if node.tag in _TEXTS:
            parts.append(node.text or "")
        else:
            parts.append("-" if node.tag == W + "noBreakHyphen" else " ")
    return " ".join("".join(parts).split())


def is_on(switch: Element | None) -> bool:
    """Whether a property that is switched by its presence is on."""
    return switch is not None and switch.get(VAL, "1") not in _OFF


def number(element: Element | None, attribute: str = VAL) -> int | None:
    """A whole number from an attribute; None without one."""
    value = element.get(attribute) if element is not None else None
    try:
        return int(value) if value is not None and len(value) < 12 else None
    except ValueError:
        return None


def new_text(text: str) -> Element:
    """A `w:t` with the text."""
    node = etree.Element(T)
    node.text = text
    node.set(_PRESERVE, "preserve")
    return node


def new_run(text: str) -> Element:
    """A run with the text, without formatting."""
    run = etree.Element(RUN)
    run.append(new_text(text))
    return run


def new_paragraph(text: str) -> Element:
    """A paragraph with the text, without a style."""
    paragraph = etree.Element(P)
    paragraph.append(new_run(text))
    return paragraph


def new_table(rows: list[list[str]]) -> Element:
    """A table of plain cells. Its grid is made by `word_tables.mend_tables`."""
    table = etree.Element(TABLE)
    for row in rows:
        line = etree.SubElement(table, ROW)
        for cell in row:
            etree.SubElement(line, CELL).append(new_paragraph(cell))
    return table


def xml_text(text: str) -> str:
    """The text without the characters that XML cannot hold."""
    return "".join(char for char in text if (char >= " " and char not in "\ufffe\uffff") or char in "\t\n")


def detach(element: Element) -> None:
    """Take an element out of its tree."""
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def parent_of(element: Element, tag: str) -> Element | None:
    """The nearest element of that name around an element."""
    return next(element.iterancestors(tag), None)


def fit_for_another_part(blocks: Element, *, keep_headings: bool = False) -> None:
    """Take out of blocks what has another meaning in another part: styles, numberings, links and pictures."""
    for properties in list(blocks.iter(P_PR)):
        style = properties.find(W + "pStyle")
        for child in list(properties):
            if not (keep_headings and child is style and child.get(VAL, "").lower().startswith(("heading", "title"))):
                properties.remove(child)
    for link in blocks.iter(HYPERLINK):
        link.attrib.pop(R + "id", None)
    for drawing in list(blocks.iter(W + "drawing", W + "pict", W + "object")):
        detach(drawing)


class AfterParagraphs:
    """Puts blocks behind paragraphs, in the order of the calls."""

    def __init__(self) -> None:
        self._last: dict[Element, Element] = {}

    def add(self, paragraph: Element, block: Element) -> None:
        """Put a block behind a paragraph and behind what was put there before."""
        last = self._last.get(paragraph)
        (paragraph if last is None else last).addnext(block)
        self._last[paragraph] = block
