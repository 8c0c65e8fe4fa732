"""docling's PDF pipeline with rules instead of its layout and table models, which need weights.

docling's page decoding, OCR, captions and assembly run unchanged. Import this module inside functions
only: it imports docling, which takes seconds.
"""

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

from docling.datamodel.base_models import Page, Table, TextElement
from docling.datamodel.document import ConversionResult
from docling.datamodel.pipeline_options import ThreadedPdfPipelineOptions
from docling.models.postprocessing.reading_order_rb import PageElement, ReadingOrderPredictor, SeparatorElement
from docling.models.stages.heading_hierarchy.heading_hierarchy_model import HeadingHierarchyModel
from docling.models.stages.page_assemble.page_assemble_model import PageAssembleModel, PageAssembleOptions
from docling.models.stages.page_preprocessing.page_preprocessing_model import (
    PagePreprocessingModel,
    PagePreprocessingOptions,
)
from docling.models.stages.reading_order.readingorder_model import ReadingOrderModel, ReadingOrderOptions
from docling.pipeline.standard_pdf_pipeline import StandardPdfPipeline
from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.items.text import SectionHeaderItem
from docling_core.types.doc.labels import DocItemLabel

from aegis_dagster.parsing.pdf.heading_rules import PagedBlock, heading_levels, label_blocks
from aegis_dagster.parsing.pdf.layout_rules import (
    BlockLabel,
    Rect,
    TextBlock,
    runs_right_to_left,
)
from aegis_dagster.parsing.pdf.page_edges import mark_running_lines
from aegis_dagster.parsing.pdf.pages import (
    OcrWhereNeeded,
    OcrWithoutTorch,
    RuleLayout,
    RuleTables,
    ScanRegions,
    Turns,
    box_rect,
    line_of,
    pass_through,
)
from aegis_dagster.parsing.pdf.reading_order import reading_order
from aegis_dagster.parsing.pdf.turned import Turn

_HEADER, _FOOTER = DocItemLabel.PAGE_HEADER, DocItemLabel.PAGE_FOOTER


class RulesPdfPipeline(StandardPdfPipeline):
    """StandardPdfPipeline without weights."""

    def _init_models(self) -> None:
        options: ThreadedPdfPipelineOptions = self.pipeline_options
        self.keep_images = False
        self.keep_backend = False
        self.preprocessing_model = PagePreprocessingModel(
            options=PagePreprocessingOptions(
                images_scale=None,
                capture_reading_order_separators=True,  # the shapes of a page show whether it may hold tables
            )
        )
        # docling declares these attributes as its own classes, but only calls them.
        seams: Any = self
        seams.layout_model = ScanRegions()
        seams.ocr_model = OcrWhereNeeded(lambda: OcrWithoutTorch(options)) if options.do_ocr else pass_through
        self.table_finding = RuleTables()
        self.rule_layout = RuleLayout(self.table_finding)
        seams.layout_postprocessing_model = self.rule_layout
        seams.table_model = pass_through  # the layout step has found the tables, because they take its text
        self.assemble_model = PageAssembleModel(options=PageAssembleOptions())
        self.reading_order_model = ReadingOrderModel(options=ReadingOrderOptions(use_page_separators=False))
        seams.reading_order_model.ro_model = _CutOrder(self.rule_layout.turns)
        self.heading_hierarchy_model = HeadingHierarchyModel(options=options.heading_hierarchy_options)

    def _build_document(self, conv_res: ConversionResult) -> ConversionResult:
        self.table_finding.open(conv_res)
        self.rule_layout.turns.clear()
        try:
            return super()._build_document(conv_res)
        finally:
            self.table_finding.close()

    def _assemble_document(self, conv_res: ConversionResult) -> ConversionResult:
        mark_running_lines(conv_res.pages)
        texts = _label_texts(conv_res.pages)
        levels = _levels(texts)
        seams: Any = self
        bookmarks = self.heading_hierarchy_model
        seams.heading_hierarchy_model = _LevelsThenBookmarks(levels, bookmarks)
        try:
            return super()._assemble_document(conv_res)
        finally:
            self.heading_hierarchy_model = bookmarks


class _CutOrder(ReadingOrderPredictor):
    """docling's captions, footnotes and continued paragraphs, in our reading order."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.dilated_page_element = False  # used only by docling's own order, which is replaced

    def predict_reading_order(
        self, page_elements: list[PageElement], page_separators: list[SeparatorElement] | None = None
    ) -> list[PageElement]:
        """The elements, page by page: headers, then the page, then footers."""
        ordered: list[PageElement] = []
        for page_no in sorted({element.page_no for element in page_elements}):
            on_page = [element for element in page_elements if element.page_no == page_no]
            for part in (_HEADER, None, _FOOTER):
                members = [e for e in on_page if (e.label if e.label in (_HEADER, _FOOTER) else None) == part]
                for quarters, own in self._by_turn(page_no, members):
                    rects = [_upright(element, quarters) for element in own]
                    leftward = runs_right_to_left("".join(element.text for element in own))
                    ordered += [own[index] for index in reading_order(rects, right_to_left=leftward)]
        return ordered

    def predict_merges(self, sorted_elements: list[PageElement]) -> dict[int, list[int]]:
        """Which paragraphs continue which. A label with its value and turned text continue none."""
        alone = {e.cid for e in sorted_elements if (e.page_no, _number(e)) in self._turns.of_elements}
        merges = super().predict_merges(sorted_elements)
        kept = {cid: list(takewhile(lambda other: other not in alone, more)) for cid, more in merges.items()}
        return {cid: more for cid, more in kept.items() if cid not in alone and more}

    def _by_turn(self, page_no: int, elements: Sequence[PageElement]) -> Iterator[tuple[int, list[PageElement]]]:
        """What is turned like the page, what is turned otherwise, and what lies across the page."""
        main = self._turns.of_pages.get(page_no, 0)
        groups: dict[int, list[PageElement]] = {main: []}
        across: list[PageElement] = []
        for element in elements:
            quarters = self._turns.of_elements.get((page_no, _number(element)), main)
            (across if quarters is None else groups.setdefault(quarters, [])).append(element)
        yield from groups.items()
        yield 0, across


def _number(element: PageElement) -> int:
    return int(element.ref.cref.rsplit("/", 1)[1])


def _upright(element: PageElement, quarters: int) -> Rect:
    box = element.to_top_left_origin(element.page_size.height)
    turn = Turn(quarters, element.page_size.width, element.page_size.height)
    return turn.upright(Rect(box.l, box.t, box.r, box.b))


class _LevelsThenBookmarks:
    """Heading levels by size; docling's step then overrides them by the PDF's bookmarks and by numbering."""

    def __init__(self, levels: dict[tuple[int, str], int], bookmarks: Any) -> None:
        self._levels = levels
        self._bookmarks = bookmarks

    def __call__(self, conv_res: ConversionResult) -> DoclingDocument:
        for item in conv_res.document.texts:
            if isinstance(item, SectionHeaderItem) and item.prov:
                item.level = self._levels.get((item.prov[0].page_no, item.text), item.level)
        document: DoclingDocument = self._bookmarks(conv_res)
        for item in document.texts:
            # An item of a list that a bookmark names becomes a heading without its number ("1. Scope").
            if isinstance(item, SectionHeaderItem) and item.orig.endswith(item.text):
                item.text = item.orig
        return document


def _label_texts(pages: Sequence[Page]) -> list[tuple[TextElement, PagedBlock]]:
    """Give every text of the document its label, now that all pages are known. Returns the headings."""
    elements: list[TextElement] = []
    blocks: list[PagedBlock] = []
    for page in pages:
        if page.assembled is None or page.size is None:
            continue
        tables = tuple(box_rect(e.cluster.bbox) for e in page.assembled.elements if isinstance(e, Table))
        for element in page.assembled.elements:
            if isinstance(element, TextElement):
                elements.append(element)
                blocks.append(_paged_block(element, page.size.height, tables))
    labels = label_blocks(blocks)
    for element, label in zip(elements, labels, strict=True):
        element.label = element.cluster.label = DocItemLabel(label.value)
    for page in pages:
        if page.assembled is not None:
            page.assembled.headers = [item for item in page.assembled.elements if item.label in (_HEADER, _FOOTER)]
            page.assembled.body = [item for item in page.assembled.elements if item.label not in (_HEADER, _FOOTER)]
    together = zip(elements, blocks, labels, strict=True)
    return [(element, block) for element, block, label in together if label is BlockLabel.HEADING]


def _levels(headings: Sequence[tuple[TextElement, PagedBlock]]) -> dict[tuple[int, str], int]:
    levels = heading_levels([block for _, block in headings])
    return {(element.page_no, element.text): level for (element, _), level in zip(headings, levels, strict=True)}


def _paged_block(element: TextElement, page_height: float, tables: tuple[Rect, ...]) -> PagedBlock:
    cells = element.cluster.cells
    block = TextBlock(tuple(line_of(cell) for cell in cells), BlockLabel(element.label.value))
    scanned = any(cell.from_ocr for cell in cells)
    return PagedBlock(block, element.page_no, page_height, scanned=scanned, tables=tables)
