"""The texts of drawings (DrawingML) in workbooks and presentations: shapes, diagrams (SmartArt), alternative texts."""

from collections.abc import Iterator
from typing import Final

from lxml import etree

from aegis_dagster.parsing.office.office_package import local_name

_DIAGRAM_LAYOUT: Final = "pres"  # points that only place others


def body_text(body: etree._Element) -> str:
    """The text below an element, a paragraph on each line; breaks within a paragraph are spaces."""
    paragraphs = (_paragraph_text(item) for item in body.iter("{*}p"))
    return "\n".join(text for text in paragraphs if text)


def _paragraph_text(paragraph: etree._Element) -> str:
    return " ".join("".join(_runs(paragraph)).replace("\v", " ").replace("_x000B_", " ").split())


def _runs(element: etree._Element) -> Iterator[str]:
    for child in chosen(element):
        name = local_name(child)
        if name == "t":
            yield child.text or ""
        elif name == "br":
            yield " "
        elif name not in ("p", "pPr", "rPr"):
            yield from _runs(child)


def chosen(element: etree._Element) -> Iterator[etree._Element]:
    """The children, of each pair of alternatives (markup compatibility) only the one for today's programs."""
    for child in element:
        if local_name(child) != "AlternateContent":
            yield child
            continue
        choices = [branch for branch in child if local_name(branch) == "Choice" and len(branch)]
        others = [branch for branch in child if local_name(branch) == "Fallback"]
        for branch in (choices or others)[:1]:
            yield from chosen(branch)


def alternative_text(properties: etree._Element | None) -> str:
    """The title and the description of a shape for those who cannot see it."""
    if properties is None or any(item.get("val") in ("1", "true") for item in properties.iter("{*}decorative")):
        return ""
    texts = (" ".join(properties.get(key, "").split()) for key in ("title", "descr"))
    return ": ".join(dict.fromkeys(text for text in texts if text))


def is_hidden(properties: etree._Element | None) -> bool:
    """Whether a shape is hidden."""
    return properties is not None and properties.get("hidden") in ("1", "true")


def diagram_lines(root: etree._Element) -> list[str]:
    """The texts of a diagram's data part, parents before their children."""
    points = {point.get("modelId", ""): point for point in root.iterfind("{*}ptLst/{*}pt")}
    children: dict[str, list[tuple[int, str]]] = {}
    for link in root.iterfind("{*}cxnLst/{*}cxn"):
        if link.get("type", "parOf") == "parOf":
            order = link.get("srcOrd", "")
            place = int(order) if order.isdecimal() and len(order) < 10 else 0
            children.setdefault(link.get("srcId", ""), []).append((place, link.get("destId", "")))
    waiting = [key for key, point in reversed(points.items()) if point.get("type") == "doc"]
    ordered: dict[str, None] = {}
    while waiting:
        key = waiting.pop()
        if key not in ordered:
            ordered[key] = None
            waiting += [child for _, child in sorted(children.get(key, []), reverse=True)]
    texts = (
        body_text(points[key])
        for key in dict.fromkeys([*ordered, *points])
        if key in points and points[key].get("type") != _DIAGRAM_LAYOUT
    )
    return [text for text in texts if text]
