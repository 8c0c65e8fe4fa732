"""What lies on a sheet beside its cells: text boxes, pictures, charts, diagrams."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lxml import etree

from aegis_dagster.parsing.excel.charts import Chart, Resolve, read_chart
from aegis_dagster.parsing.excel.references import Range, whole_number
from aegis_dagster.parsing.excel.sheets import Sheet, Workbook
from aegis_dagster.parsing.office.drawing_text import alternative_text, body_text, chosen, diagram_lines, is_hidden
from aegis_dagster.parsing.office.office_package import DamagedPart, local_name, relation_id

_SHAPES: Final = ("sp", "cxnSp", "pic", "graphicFrame", "grpSp")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A text box, a picture or a chart."""

    area: Range
    hidden: bool = False
    text: str = ""
    alternative: str = ""  # for those who cannot see it
    picture: bytes = b""
    chart: Chart | None = None


def drawn_on(book: Workbook, sheet: Sheet, resolve: Resolve) -> Iterator[Drawn]:
    """Everything on a sheet's drawing, in the order of the file. What is damaged leaves a warning."""
    for part in book.package.related(sheet.part, "drawing"):
        try:
            root = book.package.xml(part)
        except DamagedPart:
            book.warnings.append(f"Sheet {sheet.name}: its text boxes, pictures and charts could not be read.")
            continue
        reader = _DrawingReader(book, sheet, part, resolve)
        for anchor in chosen(root):
            area = _area(anchor)
            for shape in chosen(anchor):
                yield from reader.read(shape, area, hidden=False)


def controls_on(book: Workbook, sheet: Sheet) -> Iterator[Drawn]:
    """The captions of buttons and check boxes, in the markup of the oldest programs; those of notes are notes."""
    for part in book.package.related(sheet.part, "vmlDrawing"):
        try:
            root = book.package.xml(part, recover=True)  # programs write it with breaks that nothing closes
        except DamagedPart:
            book.warnings.append(f"Sheet {sheet.name}: the captions of its buttons could not be read.")
            continue
        for shape in root.iter("{*}shape"):
            data, caption = shape.find("{*}ClientData"), shape.find("{*}textbox")
            if caption is not None and (data is None or data.get("ObjectType") != "Note"):
                anchor = data.findtext("{*}Anchor", "").split(",") if data is not None else []
                column, row = (whole_number(anchor[at].strip()) + 1 if len(anchor) > at else 1 for at in (0, 2))
                text = " ".join("".join(str(text) for text in caption.itertext()).split())
                if text:
                    yield Drawn((row, column, row, column), text=text)


def _area(anchor: etree._Element) -> Range:
    first, last = anchor.find("{*}from"), anchor.find("{*}to")
    row, column = _corner(first)
    return row, column, *(_corner(last) if last is not None else (row, column))


def _corner(marker: etree._Element | None) -> tuple[int, int]:
    if marker is None:
        return 1, 1
    row, column = marker.findtext("{*}row", ""), marker.findtext("{*}col", "")
    return whole_number(row.strip()) + 1, whole_number(column.strip()) + 1


@dataclass(frozen=True, slots=True)
class _DrawingReader:
    book: Workbook
    sheet: Sheet
    part: str
    resolve: Resolve

    def read(self, shape: etree._Element, area: Range, *, hidden: bool) -> Iterator[Drawn]:
        name = local_name(shape)
        if name not in _SHAPES:
            return
        properties = next(shape.iterfind("*/{*}cNvPr"), None)
        hidden = hidden or is_hidden(properties)
        alternative = alternative_text(properties)
        if name == "grpSp":
            if alternative:
                yield Drawn(area, hidden, alternative=alternative)
            for child in chosen(shape):
                yield from self.read(child, area, hidden=hidden)
        elif name == "pic":
            blip = shape.find("{*}blipFill/{*}blip")
            picture = self._picture(relation_id(blip, "embed")) if blip is not None else b""
            yield Drawn(area, hidden, alternative=alternative, picture=picture)
        elif name == "graphicFrame":
            yield from self._framed(shape, area, hidden, alternative)
        else:
            body = shape.find("{*}txBody")
            text = body_text(body) if body is not None else ""
            if text or alternative:
                yield Drawn(area, hidden, text, "" if alternative == text else alternative)

    def _picture(self, relation: str) -> bytes:
        found = self.book.package.relations(self.part).get(relation)
        if found is None or found.external:
            return b""
        try:
            return self.book.package.read(found.target)
        except DamagedPart:
            self.book.warnings.append(f"Sheet {self.sheet.name}: the picture {found.target} could not be read.")
            return b""

    def _framed(self, frame: etree._Element, area: Range, hidden: bool, alternative: str) -> Iterator[Drawn]:
        """A chart or a diagram."""
        chart: Chart | None = None
        lines: list[str] = []
        for item in frame.iterfind("{*}graphic/{*}graphicData/*"):
            found = self.book.package.relations(self.part).get(relation_id(item, "dm") or relation_id(item))
            if found is None or found.external:
                continue
            try:
                if local_name(item) == "relIds":
                    lines = diagram_lines(self.book.package.xml(found.target))
                elif local_name(item) == "chart":
                    chart = read_chart(self.book.package.xml(found.target), self.resolve)
                    lines = list(self._texts_on(found.target))
            except DamagedPart:
                self.book.warnings.append(f"Sheet {self.sheet.name}: {found.target} could not be read.")
        if chart is not None or lines or alternative:
            yield Drawn(area, hidden, "\n".join(lines), alternative, chart=chart)

    def _texts_on(self, chart: str) -> Iterator[str]:
        """The text boxes that were drawn on a chart."""
        for part in self.book.package.related(chart, "chartUserShapes"):
            for body in self.book.package.xml(part).iter("{*}txBody"):
                if text := body_text(body):
                    yield text
