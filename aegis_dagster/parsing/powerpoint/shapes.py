"""Rewrites the shapes of a slide so that docling's reader sees all of their text.

Diagrams, embedded objects, newer charts and alternative texts become text boxes at the same place; breaks become
spaces; of alternatives one is kept; footers stand once.
"""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from aegis_dagster.domain.left_out import LeftOut, Reason
from aegis_dagster.parsing.excel.charts import Chart, read_chart
from aegis_dagster.parsing.office.drawing_text import alternative_text, body_text, chosen, diagram_lines, is_hidden
from aegis_dagster.parsing.office.office_package import DamagedPart, OfficePackage, local_name, relation_id

P: Final = "http://schemas.openxmlformats.org/presentationml/2006/main"
_A: Final = "http://schemas.openxmlformats.org/drawingml/2006/main"
_SHAPES: Final = ("sp", "pic", "graphicFrame", "grpSp", "cxnSp")
_UNREAD_VALUES: Final = {"xVal": "X values", "bubbleSize": "Sizes"}  # of the points of a chart
_FURNITURE: Final = ("ftr", "dt", "hdr", "sldNum")  # placeholders of footers, dates, headers, numbers of slides


@dataclass(slots=True)
class ShapeRewriter:
    """Rewrites the shapes of one slide or page of notes."""

    package: OfficePackage
    part: str
    place: str  # for people: "slide 3"
    read_hidden: bool
    running: set[str]  # footers and the like that are read already; grows
    warnings: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def rewrite(self, tree: etree._Element) -> None:
        """Rewrite the shapes in a tree or a group."""
        _choose(tree)
        for shape in [child for child in tree if local_name(child) in _SHAPES]:
            properties = next(shape.iterfind("*/{*}cNvPr"), None)
            if is_hidden(properties) and not self._keep_hidden(tree, shape, properties):
                continue
            _soften(shape)
            placeholder = next(shape.iterfind("*/{*}nvPr/{*}ph"), None)
            if placeholder is not None and placeholder.get("type") in _FURNITURE:
                self._take_furniture(tree, shape, placeholder)
            elif local_name(shape) == "grpSp":
                self.rewrite(shape)
                self._describe(shape, [], alternative_text(properties))
            else:
                lines = list(self._framed(shape)) if local_name(shape) == "graphicFrame" else []
                self._describe(shape, lines, alternative_text(properties))

    def _keep_hidden(self, tree: etree._Element, shape: etree._Element, properties: etree._Element) -> bool:
        """Show a hidden shape, or take it away and list its text."""
        if self.read_hidden:
            del properties.attrib["hidden"]
            return True
        lines = list(self._framed(shape)) if local_name(shape) == "graphicFrame" else []
        text = "\n".join(filter(None, [body_text(shape), *lines, alternative_text(properties)]))
        if text:
            self.left_out.append(LeftOut(Reason.HIDDEN_TEXT, self.place, text))
        tree.remove(shape)
        return False

    def _describe(self, shape: etree._Element, lines: list[str], alternative: str) -> None:
        """Put lines and the alternative text into a text box at the shape's place."""
        own = body_text(shape)
        if alternative and alternative not in (own, *lines):
            lines = [*lines, alternative]
        if lines:
            shape.addnext(_text_box(lines, shape))

    def _take_furniture(self, tree: etree._Element, shape: etree._Element, placeholder: etree._Element) -> None:
        """Keep one copy of each footer; numbers of slides and the date of the day are left out."""
        kind = placeholder.get("type")
        fields = {"sldNum": Reason.PAGE_NUMBER, "dt": Reason.PRINT_DATE}
        for element in [item for item in shape.iter("{*}fld") if kind in fields]:
            self.left_out.append(LeftOut(fields[kind], self.place, element.findtext("{*}t", "")))
            element.getparent().remove(element)
        text = body_text(shape)
        if text in self.running or not text:
            if text:
                self.left_out.append(LeftOut(Reason.RUNNING_LINE, self.place, text))
            tree.remove(shape)
            return
        self.running.add(text)
        placeholder.getparent().remove(placeholder)  # docling leaves out these placeholders, and reads text boxes

    def _framed(self, frame: etree._Element) -> Iterator[str]:
        """The texts in a frame that docling does not read."""
        data = frame.find("{*}graphic/{*}graphicData")
        for item in chosen(data) if data is not None else ():
            name = local_name(item)
            if name == "oleObj":
                kind, label = item.get("progId", ""), item.get("name", "")
                yield "Embedded object: " + " ".join(dict.fromkeys(filter(None, (label, kind))))
                self.warnings.append(
                    f"{self.place.capitalize()} holds an embedded object ({kind or label}), which is not read: "
                    "save it as a file of its own."
                )
                continue
            found = self.package.relations(self.part).get(relation_id(item, "dm") or relation_id(item))
            if found is None or found.external:
                continue
            try:
                if name == "relIds":
                    yield from diagram_lines(self.package.xml(found.target))
                elif name == "chart":
                    yield from self._chart_lines(found.target)
            except DamagedPart:
                self.warnings.append(f"{self.place.capitalize()}: {found.target} could not be read.")

    def _chart_lines(self, part: str) -> Iterator[str]:
        root = self.package.xml(part)
        chart = read_chart(root, lambda reference: [])
        if str(etree.QName(root).namespace).endswith("/chartex"):
            yield from _lines_of(chart)  # docling reads only the older kinds
        yield from dict.fromkeys(text for text in chart.others if text not in ("", chart.title, chart.corner))
        for tag, called in _UNREAD_VALUES.items():  # docling reads the heights of the points only
            rows = (", ".join(value.text or "" for value in values.iter("{*}v")) for values in root.iter(f"{{*}}{tag}"))
            yield from dict.fromkeys(f"{called}: {row}" for row in rows if row)
        for other in self.package.related(part, "chartUserShapes"):
            yield from filter(None, map(body_text, self.package.xml(other).iter("{*}txBody")))


def standing_texts(root: etree._Element) -> Iterator[str]:
    """The texts that a layout or a master shows on its slides: those that are no placeholders."""
    for shape in root.iterfind("{*}cSld/{*}spTree//{*}sp"):
        properties = shape.find("{*}nvSpPr/{*}cNvPr")
        body = shape.find("{*}txBody")
        if shape.find("{*}nvSpPr/{*}nvPr/{*}ph") is None and body is not None and not is_hidden(properties):
            yield from filter(None, [body_text(body)])


def add_lines(tree: etree._Element, lines: Iterable[str]) -> None:
    """Add a text box without a place, which stands behind all others."""
    if wanted := list(lines):
        tree.append(_text_box(wanted, tree))


def _lines_of(chart: Chart) -> Iterator[str]:
    yield from filter(None, (chart.title, chart.corner))
    yield from filter(None, (" ".join(filter(None, (name, *values))) for name, values in chart.series))
    if chart.categories:
        yield " ".join(chart.categories)


def _choose(tree: etree._Element) -> None:
    """Put what is chosen of alternatives in their place."""
    for child in list(tree):
        if local_name(child) == "AlternateContent":
            holder = etree.Element("holder")
            tree.replace(child, holder)
            holder.append(child)
            for shape in list(chosen(holder)):
                holder.addprevious(shape)
            tree.remove(holder)


def _soften(shape: etree._Element) -> None:
    """Make breaks within paragraphs spaces, and choose among alternatives there (equations)."""
    for paragraph in list(shape.iter(f"{{{_A}}}p")):
        _choose(paragraph)
    for item in list(shape.iter(f"{{{_A}}}br")):
        run = etree.Element(f"{{{_A}}}r")
        etree.SubElement(run, f"{{{_A}}}t").text = " "
        run.tail = item.tail
        item.getparent().replace(item, run)
    for item in shape.iter(f"{{{_A}}}t"):
        if item.text and "_x000B_" in item.text:
            item.text = item.text.replace("_x000B_", " ")


def _text_box(lines: Iterable[str], like: etree._Element) -> etree._Element:
    """A text box at the place of a shape."""
    box = etree.Element(f"{{{P}}}sp", nsmap={"p": P, "a": _A})
    names = etree.SubElement(box, f"{{{P}}}nvSpPr")
    etree.SubElement(names, f"{{{P}}}cNvPr", id="0", name="")
    etree.SubElement(names, f"{{{P}}}cNvSpPr", txBox="1")
    etree.SubElement(names, f"{{{P}}}nvPr")
    look = etree.SubElement(box, f"{{{P}}}spPr")
    frame = next((item for item in (*like.iterfind("{*}xfrm"), *like.iterfind("*/{*}xfrm"))), None)
    corners = [frame.find(f"{{{_A}}}{name}") for name in ("off", "ext")] if frame is not None else []
    if corners and all(corner is not None for corner in corners):
        etree.SubElement(look, f"{{{_A}}}xfrm").extend(deepcopy(corners))
    body = etree.SubElement(box, f"{{{P}}}txBody")
    etree.SubElement(body, f"{{{_A}}}bodyPr")
    for line in "\n".join(lines).splitlines():
        paragraph = etree.SubElement(body, f"{{{_A}}}p")
        etree.SubElement(etree.SubElement(paragraph, f"{{{_A}}}pPr"), f"{{{_A}}}buNone")
        etree.SubElement(etree.SubElement(paragraph, f"{{{_A}}}r"), f"{{{_A}}}t").text = line
    return box
