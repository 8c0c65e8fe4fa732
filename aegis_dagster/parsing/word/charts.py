"""The texts of charts and SmartArt, which are parts of their own in a Word file."""

from collections.abc import Iterator
from typing import Final

from aegis_dagster.parsing.word.names import A, Element, new_paragraph, new_table, xml_text
from aegis_dagster.parsing.word.package import Package

_CHART: Final = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_DIAGRAM: Final = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_CATEGORIES: Final = (f"{_CHART}cat", f"{_CHART}xVal")
_VALUES: Final = (f"{_CHART}val", f"{_CHART}yVal", f"{_CHART}bubbleSize")
_LARGEST: Final = 100_000  # the points of a chart are counted by the file


def chart_blocks(package: Package, part: str) -> list[Element]:
    """A chart as paragraphs and a table: its titles, and its values by category and series."""
    root = package.tree(part)
    if root is None:
        return []
    titles = _paragraphs(root)
    for relationship in package.related(part).values():
        if relationship.kind == "chartUserShapes" and (shapes := package.tree(relationship.target)) is not None:
            titles.extend(_paragraphs(shapes))
    if not root.tag.startswith(_CHART):  # the newer kinds: waterfall, funnel, sunburst
        titles.extend(node.text.strip() for node in root.iter("{*}pt", "{*}v") if (node.text or "").strip())
    blocks = [new_paragraph(xml_text(text)) for text in dict.fromkeys(titles)]
    rows = _table(root)
    return [*blocks, new_table(rows)] if len(rows) > 1 else blocks


def _paragraphs(root: Element) -> list[str]:
    texts = ("".join(node.text or "" for node in paragraph.iter(A + "t")) for paragraph in root.iter(A + "p"))
    return [text.strip() for text in texts if text.strip()]


def _table(root: Element) -> list[list[str]]:
    names: dict[int, str] = {}
    columns: list[tuple[str, dict[int, str]]] = []
    for series in root.iter(_CHART + "ser"):
        title = series.find(_CHART + "tx")
        name = " ".join(value for _, value in _points(title)) if title is not None else ""
        for categories in series.iterchildren(*_CATEGORIES):
            for index, value in _points(categories):
                if not (said := names.get(index)):
                    names[index] = value
                elif value not in said.split(" / "):
                    names[index] = (
                        f"{value} / {said}" if next(categories.iter(f"{_CHART}lvl"), None) is not None else said
                    )
        for values in series.iterchildren(*_VALUES):
            columns.append((name, dict(_points(values))))
    indices = sorted({*names, *(index for _, column in columns for index in column)})
    rows = [["", *(name for name, _ in columns)]]
    rows.extend([names.get(index, ""), *(column.get(index, "") for _, column in columns)] for index in indices)
    return [[xml_text(cell) for cell in row] for row in rows]


def _categories(node: Element) -> list[tuple[int, str]]:
    """The categories of a series; those of several levels with the outer ones in front, where these begin."""
    levels = [dict(_points(level)) for level in node.iter(_CHART + "lvl")] or [dict(_points(node))]
    return [(index, " / ".join(level[index] for level in reversed(levels) if index in level)) for index in levels[0]]


def _points(node: Element) -> Iterator[tuple[int, str]]:
    """The numbered values of a cache."""
    found = False
    for point in node.iter(_CHART + "pt"):
        index = point.get("idx", "")
        value = point.findtext(_CHART + "v")
        if index.isdigit() and len(index) < 7 and int(index) < _LARGEST and value:
            found = True
            yield int(index), value
    if not found:
        yield from ((0, value.text) for value in node.iterchildren(_CHART + "v") if value.text)


def diagram_texts(root: Element | None) -> list[str]:
    """The texts of a SmartArt's nodes, each after the one that it belongs to."""
    if root is None:
        return []
    points = {point.get("modelId", ""): point for point in root.iter(_DIAGRAM + "pt")}
    children: dict[str, list[tuple[int, str]]] = {}
    for link in root.iter(_DIAGRAM + "cxn"):
        order = link.get("srcOrd", "0")
        if link.get("type", "parOf") == "parOf" and link.get("destId") in points:
            position = int(order) if order.isdigit() and len(order) < 9 else 0
            children.setdefault(link.get("srcId", ""), []).append((position, link.get("destId", "")))
    roots = [identifier for identifier, point in points.items() if point.get("type") == "doc"]
    ordered: dict[str, None] = {}
    waiting = [
        *reversed(points),
        *reversed(roots),
    ]  # the last is taken first; all that hangs on nothing comes at the end
    while waiting:
        identifier = waiting.pop()
        if identifier not in ordered:
            ordered[identifier] = None
            waiting.extend(child for _, child in sorted(children.get(identifier, ()), reverse=True))
    texts = (points[identifier].find(_DIAGRAM + "t") for identifier in ordered)
    return [" ".join(_paragraphs(text)) for text in texts if text is not None and _paragraphs(text)]
