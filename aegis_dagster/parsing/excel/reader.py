"""Reads workbooks: a document with a heading for each sheet, and below it what a person sees on that sheet.

Own code instead of docling's reader: that one shows stored values instead of formatted ones, mixes the sheets, gives up
a workbook for one damaged part, and walks the whole rectangle between two distant cells.
"""

import hashlib
import io
from typing import Any, Final

from docling.backend.utils.charts import build_chart_table
from docling.backend.utils.image import normalize_image_for_png
from docling_core.types.doc.base import BoundingBox, CoordOrigin, Size
from docling_core.types.doc.common.content_layer import ContentLayer
from docling_core.types.doc.common.origin import DocumentOrigin
from docling_core.types.doc.common.reference import ImageRef, ProvenanceItem
from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.items.picture.meta import (
    PictureClassificationMetaField,
    PictureClassificationPrediction,
    PictureMeta,
    TabularChartMetaField,
)
from docling_core.types.doc.items.table.table_data import TableData
from docling_core.types.doc.labels import DocItemLabel, GroupLabel
from PIL import Image

from aegis_dagster.parsing.excel.charts import Chart
from aegis_dagster.parsing.excel.drawings import Drawn
from aegis_dagster.parsing.excel.notes import Note
from aegis_dagster.parsing.excel.references import Range, column_name
from aegis_dagster.parsing.excel.regions import Region
from aegis_dagster.parsing.excel.sheets import Sheet, read_workbook
from aegis_dagster.parsing.excel.view import View, views_of
from aegis_dagster.parsing.readers import Parsed
from aegis_dagster.parsing.table_cells import table_cell

_MIMETYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_DOTS_PER_INCH: Final = 72  # of pictures, as docling counts them
_NAMED: Final = 10  # cells that a warning names


def read(data: bytes, *, name: str, kind: str, options: dict[str, Any]) -> Parsed:
    """The document of a workbook, as `readers.Reader` has it."""
    book = read_workbook(data)
    views = views_of(book, read_hidden=bool(options.get("read_hidden")))
    number = int.from_bytes(hashlib.sha256(data).digest()[:8])
    document = DoclingDocument(name=name, origin=DocumentOrigin(mimetype=_MIMETYPE, binary_hash=number, filename=name))
    warnings = list(book.warnings)
    some = any(not view.is_empty for view in views)
    for view in views:
        document.add_page(page_no=view.sheet.number, size=_size(view))
        if view.whole and some:  # the names of sheets alone are nothing to read
            warnings += _SheetWriter(document, view).write()
    left_out = tuple(item for view in views for item in view.left_out)
    return Parsed(document, "office", tuple(dict.fromkeys(warnings)), left_out)


def _size(view: View) -> Size:
    """As many columns and rows as anything on the sheet reaches."""
    ends = [(1, 1), *(region.area[2:] for region in view.regions), *(thing.area[2:] for thing in view.drawn)]
    ends += [(note.row, note.column) for note in view.notes]
    return Size(width=max(column for _, column in ends), height=max(row for row, _ in ends))


class _SheetWriter:
    """Adds one sheet to a document."""

    def __init__(self, document: DoclingDocument, view: View) -> None:
        self._document = document
        self._view = view
        self._sheet: Sheet = view.sheet
        self._name = self._sheet.name or f"Sheet {self._sheet.number}"
        self._group = document.add_group(label=GroupLabel.SHEET, name=self._name)
        self._warnings: list[str] = []

    def write(self) -> list[str]:
        """Add everything; returns warnings."""
        view, top = self._view, (1, 1, 1, 1)
        self._document.add_heading(self._name, level=1, prov=self._prov(top), parent=self._group)
        things: list[Region | Drawn] = [*view.regions, *view.drawn]
        for thing in sorted(things, key=lambda thing: thing.area[0]):
            if isinstance(thing, Region):
                self._add_region(thing)
            else:
                self._add_drawn(thing)
        for note in view.notes:
            self._add_note(note)
        for line in view.lines:
            self._add_text(line, top)
        for kind in self._sheet.embedded:
            self._add_text(f"Embedded object: {kind}", top)
            self._warn(f"holds an embedded object ({kind}), which is not read: save it as a file of its own")
        if cells := self._sheet.unstored:
            named = ", ".join(cells[:_NAMED]) + (f" and {len(cells) - _NAMED:,} more" if len(cells) > _NAMED else "")
            self._warn(
                f"has formulas without a stored value, which are shown as formulas ({named}): "
                "open the workbook in its program and save it"
            )
        return self._warnings

    def _warn(self, what: str) -> None:
        self._warnings.append(f"Sheet {self._name} {what}.")

    def _prov(self, area: Range, length: int = 0) -> ProvenanceItem:
        top, left, bottom, right = area
        box = BoundingBox(l=left - 1, t=top - 1, r=right, b=bottom, coord_origin=CoordOrigin.TOPLEFT)
        return ProvenanceItem(page_no=self._sheet.number, charspan=(0, length), bbox=box)

    def _add_text(self, text: str, area: Range, layer: ContentLayer = ContentLayer.BODY) -> None:
        prov = self._prov(area, len(text))
        self._document.add_text(DocItemLabel.TEXT, text, prov=prov, parent=self._group, content_layer=layer)

    def _add_region(self, region: Region) -> None:
        if region.text:
            self._add_text(region.text, region.area)
            return
        cells = [
            table_cell(cell.text, cell.row, cell.column, rows=cell.rows, columns=cell.columns, header=cell.row == 0)
            for cell in region.cells
        ]
        data = TableData(num_rows=region.rows, num_cols=region.columns, table_cells=cells)
        self._document.add_table(data, prov=self._prov(region.area), parent=self._group)

    def _add_drawn(self, thing: Drawn) -> None:
        if thing.chart is not None:
            self._add_chart(thing.chart, thing.area)
        image = self._image(thing.picture) if thing.picture else None
        if image is not None:
            self._add_picture(image, thing.alternative, thing.area)
        elif thing.alternative:
            self._add_text(thing.alternative, thing.area)
        if thing.text:
            self._add_text(thing.text, thing.area)

    def _image(self, data: bytes) -> ImageRef | None:
        try:
            with Image.open(io.BytesIO(data)) as image:
                return ImageRef.from_pil(normalize_image_for_png(image), dpi=_DOTS_PER_INCH)
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
            self._warn("has a picture that cannot be shown: save it there as PNG if it matters")
            return None

    def _add_picture(self, image: ImageRef | None, caption: str, area: Range, meta: PictureMeta | None = None) -> None:
        prov = self._prov(area)
        item = None
        if caption:
            item = self._document.add_text(DocItemLabel.CAPTION, caption, prov=prov, parent=self._group)
        picture = self._document.add_picture(image=image, caption=item, prov=prov, parent=self._group)
        picture.meta = meta

    def _add_chart(self, chart: Chart, area: Range) -> None:
        predictions = [PictureClassificationPrediction(class_name=kind) for kind in dict.fromkeys(chart.kinds)]
        table = build_chart_table(chart.categories, chart.series, chart.corner)
        meta = PictureMeta(
            classification=PictureClassificationMetaField(predictions=predictions) if predictions else None,
            tabular_chart=TabularChartMetaField(chart_data=table) if table is not None else None,
        )
        self._add_picture(None, chart.title, area, meta)
        for text in dict.fromkeys([*chart.others, *([chart.corner] if table is None else [])]):
            if text not in ("", chart.title):
                self._add_text(text, area)

    def _add_note(self, note: Note) -> None:
        place = f"{column_name(note.column)}{note.row}"
        by = (f" by {note.author}" if note.author else "") + (f" on {note.day}" if note.day else "")
        area = (note.row, note.column, note.row, note.column)
        self._add_text(f"Comment on {place}{by}: {note.text}", area, ContentLayer.NOTES)
