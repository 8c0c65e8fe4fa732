"""Rules for the page-by-page steps of docling's pipeline: where to use OCR, tables, text and pictures.

Import it inside functions only: it imports docling.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from math import hypot

from docling.datamodel.base_models import Cluster, LayoutPrediction, Page, Table, TableStructurePrediction
from docling.datamodel.document import ConversionResult
from docling.datamodel.pipeline_options import RapidOcrOptions, ThreadedPdfPipelineOptions
from docling.models.stages.ocr.rapid_ocr_model import RapidOcrModel
from docling_core.types.doc.base import BoundingBox, CoordOrigin
from docling_core.types.doc.labels import DocItemLabel
from docling_core.types.doc.page import BoundingRectangle, TextCell

from aegis_dagster.device import ocr_engine
from aegis_dagster.parsing.pdf import tables
from aegis_dagster.parsing.pdf.docling_tables import to_docling_table
from aegis_dagster.parsing.pdf.form_rules import Field
from aegis_dagster.parsing.pdf.layout_rules import Fragment, Line, Rect, TextBlock, merge_touching
from aegis_dagster.parsing.pdf.number_grids import tables_of
from aegis_dagster.parsing.pdf.page_text import Drawn, compose
from aegis_dagster.parsing.pdf.turned import Turn, quarters_of

# A page with fewer characters than this is a scan: a stamp or a page number does not make it readable.
_READABLE_CHARACTERS = 20
# A scan may carry a digital stamp or header: up to this many characters beside one picture of the whole page.
_STAMP_CHARACTERS = 120
_WHOLE_PAGE = 0.8
_LONG = 20.0  # multiples of the height; a line of running text is longer
_MOSTLY = 0.8  # share of a line's characters
_MIN_LETTER = 2.0  # points; a shape that is lower or narrower is a line
# Points; smaller pictures are bullets and ornaments.
_MIN_PICTURE_SIDE = 16.0
# A ruled table is at least this wide and high, in points, or has at least so many lines.
_MIN_TABLE_SIDES = (40.0, 15.0)
_MIN_TABLE_LINES = 3


def pass_through(conv_res: ConversionResult, pages: Iterable[Page]) -> Iterable[Page]:
    """A step that does nothing."""
    return pages


class ScanRegions:
    """Replaces the layout model: one region over the whole of each page that needs OCR."""

    def __call__(self, conv_res: ConversionResult, pages: Iterable[Page]) -> Iterable[Page]:
        for page in pages:
            clusters = []
            if _needs_ocr(page):
                clusters.append(Cluster(id=0, label=DocItemLabel.TEXT, bbox=_box(_page_rect(page))))
            page.predictions.layout = LayoutPrediction(clusters=clusters)
            yield page


def _needs_ocr(page: Page) -> bool:
    assert page._backend is not None
    characters = sum(len(cell.text.strip()) for cell in page.cells)
    pictures = _picture_rects(page)
    whole = _page_rect(page).area
    if characters >= _READABLE_CHARACTERS:
        return characters < _STAMP_CHARACTERS and any(rect.area > _WHOLE_PAGE * whole for rect in pictures)
    # An empty page has nothing to read; text may also be drawn as shapes, but not as lines.
    shapes = page._shape_bounding_boxes or []
    return bool(pictures) or any(min(abs(box.r - box.l), abs(box.b - box.t)) >= _MIN_LETTER for box in shapes)


class OcrWhereNeeded:
    """docling's OCR model, built at the first scan: most documents have none."""

    def __init__(self, build: Callable[[], RapidOcrModel]) -> None:
        self._build = build
        self._model: RapidOcrModel | None = None

    def __call__(self, conv_res: ConversionResult, pages: Iterable[Page]) -> Iterable[Page]:
        for page in pages:
            assert page.predictions.layout is not None
            if not page.predictions.layout.clusters:
                yield page
                continue
            if self._model is None:
                self._model = self._build()
            yield from self._model(conv_res, [page])


class OcrWithoutTorch(RapidOcrModel):
    """docling's OCR model without the request for a GPU that its own constructor makes to torch."""

    def __init__(self, options: ThreadedPdfPipelineOptions) -> None:
        from rapidocr import EngineType, RapidOCR

        ocr, accelerator = options.ocr_options, options.accelerator_options
        assert isinstance(ocr, RapidOcrOptions)
        # When switched off, the constructor sets the options and leaves out the engine.
        super().__init__(enabled=False, artifacts_path=None, options=ocr, accelerator_options=accelerator)
        self.enabled = True
        params = {
            "Global.text_score": ocr.text_score,
            "Global.log_level": "warning",
            "EngineConfig.onnxruntime.intra_op_num_threads": accelerator.num_threads,
            **ocr_engine(str(accelerator.device)),
        }
        weights = {"Det": ocr.det_model_path, "Rec": ocr.rec_model_path, "Cls": ocr.cls_model_path}
        for part, path in weights.items():
            params |= {f"{part}.engine_type": EngineType.ONNXRUNTIME, f"{part}.model_path": path}
        self.reader = RapidOCR(params=params)


class RuleTables:
    """Finds the tables of the current document."""

    def __init__(self) -> None:
        self._finder: tables.TableFinder | None = None
        self._data: bytes | None = None

    def open(self, conv_res: ConversionResult) -> None:
        """Take the document's bytes; they are opened at the first page with ruled lines."""
        source = getattr(conv_res.input._backend, "path_or_stream", None)
        self._data = source.getvalue() if isinstance(source, BytesIO) else None
        if self._data is not None and b"%PDF-" not in self._data[:1024]:
            self._data = None  # a picture, not a PDF

    def close(self) -> None:
        """Free the document."""
        finder, self._finder, self._data = self._finder, None, None  # also if closing fails: it is one document's
        if finder is not None:
            finder.close()

    def find(self, page: Page, turn: Turn, words: Sequence[Fragment]) -> list[tables.Table]:
        """The tables of a page. pdfplumber reads a page slowly, so only pages with ruled lines are given to it."""
        boxes = [
            box
            for box in page._shape_bounding_boxes or []
            if abs(box.r - box.l) >= _MIN_TABLE_SIDES[0] and abs(box.b - box.t) >= _MIN_TABLE_SIDES[1]
        ]
        if self._data is None or (not boxes and len(page._shape_lines or []) < _MIN_TABLE_LINES):
            return []
        if self._finder is None:
            self._finder = tables.TableFinder(self._data)
        return self._finder.find(page.page_no, turn, words)


class RuleLayout:
    """Replaces the layout post-processing: makes clusters of text, tables and pictures."""

    def __init__(self, table_finding: RuleTables) -> None:
        self._tables = table_finding
        self.fields: Mapping[int, Sequence[Field]] = {}  # of the current document, by page
        self.turns = Turns()

    def __call__(self, conv_res: ConversionResult, pages: Iterable[Page]) -> Iterable[Page]:
        for page in pages:
            self._lay_out(page)
            conv_res.confidence.pages[page.page_no].layout_score = 1.0
            yield page

    def _lay_out(self, page: Page) -> None:
        assert page.parsed_page is not None and page.size is not None
        scanned = any(cell.from_ocr for cell in page.cells)
        words = [_drawn(cell) for cell in page.parsed_page.word_cells if cell.text.strip()]
        text = compose(
            [_weighed(_drawn(cell), words) for cell in page.cells if cell.text.strip()],
            words,
            self.fields.get(page.page_no, ()),
            (page.size.width, page.size.height),
            lambda words, turn: [] if scanned else tables_of(self._tables.find(page, turn, words), words),
        )
        clusters = [_text_cluster(number, block, scanned=scanned) for number, block in enumerate(text.blocks)]
        apart = [(text.quarters, block) for block in text.forms] + text.turned
        for quarters, block in [*apart, *((None, block) for block in text.watermarks)]:
            self.turns.of_elements[page.page_no, len(clusters)] = quarters
            clusters.append(_text_cluster(len(clusters), block, scanned=scanned))
        if text.quarters:
            self.turns.of_pages[page.page_no] = text.quarters
        structure: dict[int, Table] = {}
        for table in text.tables:
            cluster = Cluster(id=len(clusters), label=DocItemLabel.TABLE, bbox=_box(table.rect))
            structure[cluster.id] = to_docling_table(table, cluster, page.page_no)
            clusters.append(cluster)
        for rect in _shown_pictures(page, has_text=any(cell.text.strip() for cell in page.cells)):
            clusters.append(Cluster(id=len(clusters), label=DocItemLabel.PICTURE, bbox=_box(rect)))
        page.predictions.layout = LayoutPrediction(clusters=clusters)
        if structure:
            page.predictions.tablestructure = TableStructurePrediction(table_map=structure)


@dataclass(slots=True)
class Turns:
    """How the elements of the current document are turned."""

    of_pages: dict[int, int] = field(default_factory=dict)  # quarters, by page; pages that are not turned have none
    # By page and element, those that continue no other: turned ones, labels with values; None: a watermark.
    of_elements: dict[tuple[int, int], int | None] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget the document."""
        self.of_pages.clear()
        self.of_elements.clear()


def _text_cluster(number: int, block: TextBlock, *, scanned: bool) -> Cluster:
    cells = [
        _LineCell(
            index=index,
            text=line.text,
            orig=line.text,
            from_ocr=scanned,
            rect=BoundingRectangle.from_bounding_box(_box(line.rect)),
            bold=line.bold,
            letters=line.letters,
            apart=line.apart,
        )
        for index, line in enumerate(block.lines)
    ]
    return Cluster(id=number, label=DocItemLabel(block.label.value), bbox=_box(block.rect), cells=list(cells))


class _LineCell(TextCell):
    """A line of text that keeps what `Line` says of it until the whole document is labelled."""

    bold: bool
    letters: float = 0.0
    apart: bool = False


def line_of(cell: TextCell) -> Line:
    """The line that a cell of a block holds."""
    if isinstance(cell, _LineCell):
        return Line(cell.text, cell_rect(cell), cell.bold, cell.letters, cell.apart)
    return Line(cell.text, cell_rect(cell), is_bold(cell))


def is_bold(cell: TextCell) -> bool:
    """Whether the name of a cell's font says that it is bold."""
    if isinstance(cell, _LineCell):
        return cell.bold
    name = str(getattr(cell, "font_name", "")).lower()
    return any(word in name for word in ("bold", "black", "heavy", "semibold", "demi"))


def _drawn(cell: TextCell) -> Drawn:
    rect = cell.rect
    fragment = Fragment(cell.text, cell_rect(cell), is_bold(cell))
    height = hypot(rect.r_x3 - rect.r_x0, rect.r_y3 - rect.r_y0)
    turned = quarters_of((rect.r_x0, rect.r_y0), (rect.r_x1, rect.r_y1))
    return Drawn(fragment, turned, height, in_field=bool(getattr(cell, "widget", False)))


def _weighed(drawn: Drawn, words: Sequence[Drawn]) -> Drawn:
    """The piece, not bold if it is long and only begins so: the parser gives it the font of its first letter."""
    fragment = drawn.fragment
    if not fragment.bold or fragment.rect.width < _LONG * fragment.rect.height:
        return drawn
    own = [word.fragment for word in words if fragment.rect.holds_center_of(word.fragment.rect)]
    bold = sum(len(word.text) for word in own if word.bold)
    if bold >= _MOSTLY * sum(len(word.text) for word in own):
        return drawn
    return replace(drawn, fragment=replace(fragment, bold=False))


def cell_rect(cell: TextCell) -> Rect:
    """A cell's rectangle; docling's cells have their origin at the top left after parsing."""
    return box_rect(cell.rect.to_bounding_box())


def box_rect(box: BoundingBox) -> Rect:
    """The rectangle of a box with its origin at the page's top left."""
    return Rect(box.l, min(box.t, box.b), box.r, max(box.t, box.b))


def _page_rect(page: Page) -> Rect:
    assert page.size is not None
    return Rect(0.0, 0.0, page.size.width, page.size.height)


def _picture_rects(page: Page) -> list[Rect]:
    """The page's bitmaps, clipped to the page; strips are united."""
    assert page._backend is not None
    whole = _page_rect(page)
    rects = []
    for box in page._backend.get_bitmap_rects():
        rect = Rect(max(box.l, 0.0), max(box.t, 0.0), min(box.r, whole.right), min(box.b, whole.bottom))
        if rect.width > 0 and rect.height > 0:
            rects.append(rect)
    return merge_touching(rects)


def _shown_pictures(page: Page, *, has_text: bool) -> list[Rect]:
    """Pictures worth an item. A picture behind the whole page's text is its background or the scan itself."""
    limit = _WHOLE_PAGE * _page_rect(page).area
    return [
        rect
        for rect in _picture_rects(page)
        if min(rect.width, rect.height) >= _MIN_PICTURE_SIDE and (rect.area <= limit or not has_text)
    ]


def _box(rect: Rect) -> BoundingBox:
    return BoundingBox(l=rect.left, t=rect.top, r=rect.right, b=rect.bottom, coord_origin=CoordOrigin.TOPLEFT)
