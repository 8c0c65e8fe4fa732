"""Running lines of a paginated document: taken out of the blocks that hold them, and kept once as text.

Import it inside functions only: it imports docling.
"""

from collections.abc import Iterator, Sequence
from itertools import count, groupby

from docling.datamodel.base_models import AssembledUnit, Cluster, Page, PageElement, TextElement
from docling.models.stages.page_assemble.page_assemble_model import PageAssembleModel, PageAssembleOptions
from docling_core.types.doc.base import BoundingBox
from docling_core.types.doc.common.content_layer import ContentLayer
from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.items.text import TextItem
from docling_core.types.doc.labels import DocItemLabel
from docling_core.types.doc.page import TextCell

from aegis_dagster.domain.left_out import LeftOut
from aegis_dagster.parsing.pdf.pages import line_of
from aegis_dagster.parsing.pdf.running_lines import Edge, EdgeLine, running_lines

# Headers and footers stand within this share of the page's height from its edge,
_EDGE = 0.1
# or within this one if all lines between them and the edge run too.
_DEEP_EDGE = 0.2
_LABELS = {
    Edge.TOP: DocItemLabel.PAGE_HEADER,
    Edge.BOTTOM: DocItemLabel.PAGE_FOOTER,
    Edge.ACROSS: DocItemLabel.PAGE_HEADER,
}
_ASSEMBLY = PageAssembleModel(options=PageAssembleOptions())
_FURNITURE = (DocItemLabel.PAGE_HEADER, DocItemLabel.PAGE_FOOTER)


def mark_running_lines(pages: Sequence[Page]) -> None:
    """Make each running line an element of its own, labelled as header or footer."""
    cells: list[TextCell] = []
    lines: list[EdgeLine] = []
    for page in pages:
        for cell, line in _edge_lines(page):
            cells.append(cell)
            lines.append(line)
    verdicts = running_lines(lines)
    edges = {id(cells[index]): lines[index].edge for index in _reaching_the_edge(lines, set(verdicts))}
    for page in pages:
        if page.assembled is not None and edges:
            _take_out(page, page.assembled, edges)


def _edge_lines(page: Page) -> Iterator[tuple[TextCell, EdgeLine]]:
    if page.assembled is None or page.size is None:
        return
    height = page.size.height
    for element in page.assembled.elements:
        if not isinstance(element, TextElement):
            continue
        for cell in element.cluster.cells:
            box = cell.rect.to_bounding_box()
            top, bottom = min(box.t, box.b) / height, max(box.t, box.b) / height
            if line_of(cell).apart:
                yield cell, EdgeLine(cell.text, page.page_no, Edge.ACROSS, top)
            elif bottom < _DEEP_EDGE:
                yield cell, EdgeLine(cell.text, page.page_no, Edge.TOP, bottom)
            elif top > 1 - _DEEP_EDGE:
                yield cell, EdgeLine(cell.text, page.page_no, Edge.BOTTOM, 1 - top)


def _reaching_the_edge(lines: Sequence[EdgeLine], running: set[int]) -> Iterator[int]:
    """The running lines that stand at the edge, or are cut off from it by nothing but running lines."""
    order = sorted(range(len(lines)), key=lambda i: (lines[i].page_no, lines[i].edge, lines[i].distance))
    for (_, edge), group in groupby(order, key=lambda i: (lines[i].page_no, lines[i].edge)):
        whole = True
        for index in group:
            whole = whole and index in running
            if index in running and (whole or edge is Edge.ACROSS or lines[index].distance < _EDGE):
                yield index


def _take_out(page: Page, assembled: AssembledUnit, edges: dict[int, Edge]) -> None:
    """Replace the elements that hold running lines by their parts."""
    numbers = count(1 + max((element.id for element in assembled.elements), default=0))
    parts: list[PageElement] = []
    for element in assembled.elements:
        if isinstance(element, TextElement) and any(id(cell) in edges for cell in element.cluster.cells):
            parts += _parts(element, edges, numbers)
        else:
            parts.append(element)
    assembled.elements = parts


def _parts(element: TextElement, edges: dict[int, Edge], numbers: Iterator[int]) -> Iterator[TextElement]:
    """The element's lines: each running one alone, the others together as they follow each other."""
    for edge, group in groupby(element.cluster.cells, key=lambda cell: edges.get(id(cell))):
        cells = list(group)
        for part in [[cell] for cell in cells] if edge else [cells]:
            number = next(numbers)
            label = _LABELS[edge] if edge else element.label
            box = BoundingBox.enclosing_bbox([cell.rect.to_bounding_box() for cell in part])
            cluster = Cluster(id=number, label=label, bbox=box, cells=part)
            text = _ASSEMBLY.sanitize_text([cell.text.strip() for cell in part])
            yield TextElement(
                label=label,
                id=number,
                page_no=element.page_no,
                cluster=cluster,
                text=text,
                hyperlink=element.hyperlink,
            )


def keep_one_copy(document: DoclingDocument) -> list[LeftOut]:
    """Make the first copy of each running line text, and headers that do not run. Returns what is left out."""
    items = [
        item
        for item in document.texts
        if item.label in _FURNITURE and item.content_layer is ContentLayer.FURNITURE and item.prov
    ]
    lines = [_line_of(item, document) for item in items]
    verdicts = running_lines(lines)
    left_out = []
    for index, item in enumerate(items):
        verdict = verdicts.get(index)
        if verdict is None or verdict.stays:
            item.label = DocItemLabel.TEXT
            item.content_layer = ContentLayer.BODY
        else:
            left_out.append(LeftOut(verdict.reason, f"page {item.prov[0].page_no}", item.text))
    return left_out


def _line_of(item: TextItem, document: DoclingDocument) -> EdgeLine:
    prov = item.prov[0]
    page = document.pages.get(prov.page_no)
    height = page.size.height if page is not None and page.size.height > 0 else 1.0
    box = prov.bbox.to_top_left_origin(height)
    if item.label == DocItemLabel.PAGE_HEADER:
        return EdgeLine(item.text, prov.page_no, Edge.TOP, box.b / height)
    return EdgeLine(item.text, prov.page_no, Edge.BOTTOM, 1 - box.t / height)
