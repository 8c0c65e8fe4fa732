"""Prepares the parsed document for the chunkers.

Imports docling_core: load it in a worker.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from docling_core.types.doc.base import CoordOrigin
from docling_core.types.doc.common.content_layer import ContentLayer
from docling_core.types.doc.common.meta import DescriptionMetaField
from docling_core.types.doc.common.reference import ProvenanceItem
from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.items.node import DocItem, NodeItem
from docling_core.types.doc.items.picture.meta import PictureMeta
from docling_core.types.doc.items.picture.picture import PictureItem
from docling_core.types.doc.items.table.table_data import RichTableCell
from docling_core.types.doc.items.text import SectionHeaderItem, TitleItem
from docling_core.types.doc.labels import DocItemLabel

from aegis_dagster.chunking.passages import Place, fit_headings
from aegis_dagster.chunking.tokens import TokenCounter
from aegis_dagster.domain.chunks import Box
from aegis_dagster.domain.left_out import Piece

# What counts as the document's text: its body and its notes (speaker notes, comments), not running headers and footers.
LAYERS = {ContentLayer.BODY, ContentLayer.NOTES}

_EMU_PER_POINT = 12700.0  # presentations are measured in English Metric Units, 914400 an inch
_LARGEST_PAGE = 14400.0  # points, the largest page that PDF allows; the smallest slide is 914400 EMU wide


def load_document(content: str | bytes) -> DoclingDocument:
    """The document from what document.json holds. Raises ValueError if it is invalid."""
    return DoclingDocument.model_validate_json(content)


def attach_descriptions(document: DoclingDocument, descriptions: Iterable[dict[str, Any]]) -> list[str]:
    """Attach each description to its picture. Returns a warning for each description without a picture."""
    pictures = {picture.self_ref: picture for picture in document.pictures}
    warnings = []
    for description in descriptions:
        picture = pictures.get(description["picture"])
        if picture is None:
            warnings.append(f"The description of {description['picture']} belongs to no picture of this document.")
        elif description["text"].strip():
            field = DescriptionMetaField(text=description["text"].strip(), created_by=description["described_by"])
            picture.meta = picture.meta or PictureMeta()
            picture.meta.description = field
    return warnings


def to_markdown(document: DoclingDocument) -> str:
    """The document as Markdown, with descriptions in the place of the pictures."""
    return document.export_to_markdown(
        included_content_layers=LAYERS,
        traverse_pictures=True,
        escape_underscores=False,
        escape_html=False,
        compact_tables=True,
    )


def document_pieces(document: DoclingDocument) -> list[Piece]:
    """Every text of the document once: texts, table cells, descriptions; no headers and footers.

    Collected from the lists of items, not from the tree that the chunkers walk, so that an item outside the tree counts
    as missing.
    """
    pieces = [Piece(_place(text), text.text) for text in document.texts if text.content_layer in LAYERS]
    for table in document.tables:
        if table.content_layer in LAYERS:
            cells = (cell.text for cell in table.data.table_cells if not isinstance(cell, RichTableCell))
            pieces.append(Piece(_place(table), "\n".join(cells)))
    pieces.extend(
        Piece(f"{_place(picture)}, description of a picture", description_of(picture))
        for picture in document.pictures
        if picture.content_layer in LAYERS
    )
    return pieces


def _place(item: DocItem) -> str:
    return f"page {item.prov[0].page_no}" if item.prov else "the parsed document"


def heading_texts(document: DoclingDocument) -> list[str]:
    """The texts of all titles and section headers, with repetitions."""
    return [text.text for text in document.texts if isinstance(text, TitleItem | SectionHeaderItem)]


def description_of(picture: PictureItem) -> str:
    """The description of the picture, or ""."""
    return picture.meta.description.text if picture.meta and picture.meta.description else ""


def walk(document: DoclingDocument) -> Iterator[tuple[DocItem, tuple[str, ...]]]:
    """The items in reading order, each with the headings above it, outermost first; headings with those over them."""
    by_level: dict[int, str] = {}
    for item, _ in document.iterate_items(traverse_pictures=True, included_content_layers=LAYERS):
        if isinstance(item, TitleItem | SectionHeaderItem):
            level = heading_level(item)
            by_level = {other: text for other, text in by_level.items() if other < level}
            yield item, tuple(by_level[other] for other in sorted(by_level))
            by_level[level] = item.text
        elif isinstance(item, DocItem):
            yield item, tuple(by_level[other] for other in sorted(by_level))


def heading_level(heading: TitleItem | SectionHeaderItem) -> int:
    """0 for a title, 1 and more for section headers, as HybridChunker counts them."""
    return heading.level if isinstance(heading, SectionHeaderItem) else 0


def shorten_headings(document: DoclingDocument, counter: TokenCounter, budget: int) -> list[str]:
    """Make every path of headings fit `budget` tokens. A shortened heading's whole text becomes its first paragraph.

    Returns a warning if there were such headings.
    """
    shortened: dict[str, tuple[TitleItem | SectionHeaderItem, str]] = {}
    by_level: dict[int, TitleItem | SectionHeaderItem] = {}
    headings = [item for item, _ in walk(document) if isinstance(item, TitleItem | SectionHeaderItem)]
    for heading in headings:
        level = heading_level(heading)
        by_level = {other: item for other, item in by_level.items() if other < level}
        by_level[level] = heading
        path = [by_level[other] for other in sorted(by_level)]
        fitting = fit_headings(tuple(item.text for item in path), counter, budget)
        for item, text in zip(path[len(path) - len(fitting) :], fitting, strict=True):
            if text != item.text:
                shortened.setdefault(item.self_ref, (item, item.text))
                item.text = text
    for heading, whole in shortened.values():
        paragraph = document.add_text(DocItemLabel.TEXT, whole, parent=heading, content_layer=heading.content_layer)
        paragraph.prov = list(heading.prov)
        heading.children.insert(0, heading.children.pop())
    if not shortened:
        return []
    return [f"{len(shortened)} headings are too long to stand above every passage and were shortened there."]


class PlaceFinder:
    """Finds the pages, boxes and pictures of a document's items."""

    def __init__(self, document: DoclingDocument) -> None:
        self._document = document
        self._items: dict[str, DocItem] = {item.self_ref: item for item in _all_items(document)}
        self._captioned = {
            caption.cref: picture.self_ref for picture in document.pictures for caption in picture.captions
        }
        self._inside: dict[str, list[str]] = {}  # the pictures in a table, by the table; other ancestors are harmless
        for picture in document.pictures:
            for ancestor in _ancestors(picture, document):
                self._inside.setdefault(ancestor.self_ref, []).append(picture.self_ref)
        mimetype = document.origin.mimetype if document.origin else ""
        self._maybe_emu = "presentation" in mimetype
        self._counts_cells = "spreadsheet" in mimetype or "excel" in mimetype  # its boxes count cells, not points

    def __call__(self, pointers: Iterable[str]) -> Place:
        """The place of the items: all their pages and boxes, and the pictures that they are or belong to."""
        pages: set[int] = set()
        boxes: dict[Box, None] = {}
        pictures: dict[str, None] = {}
        for pointer in pointers:
            item = self._items[pointer]
            for prov in item.prov:
                pages.add(prov.page_no)
                box = self._box(prov)
                if box is not None:
                    boxes[box] = None
            pictures.update(dict.fromkeys(self._inside.get(pointer, ())))
            if isinstance(item, PictureItem):
                pictures[pointer] = None
            elif pointer in self._captioned:
                pictures[self._captioned[pointer]] = None
            elif item.parent is not None and item.parent.cref.startswith("#/pictures/"):
                pictures[item.parent.cref] = None
        return Place(tuple(sorted(pages)), tuple(boxes), tuple(pictures))

    def _box(self, prov: ProvenanceItem) -> Box | None:
        """The box in points from the page's top-left corner; None if it has no area or its page is unknown."""
        page = self._document.pages.get(prov.page_no)
        box = prov.bbox
        if self._counts_cells or page is None:
            return None
        if box.coord_origin != CoordOrigin.TOPLEFT:
            box = box.to_top_left_origin(page_height=page.size.height)
        if box.r <= box.l or box.b <= box.t:
            return None
        unit = _EMU_PER_POINT if self._maybe_emu and page.size.width > _LARGEST_PAGE else 1.0
        left, top, right, bottom = (round(side / unit, 2) for side in (box.l, box.t, box.r, box.b))
        return Box(prov.page_no, left, top, right, bottom)


def _all_items(document: DoclingDocument) -> Iterator[DocItem]:
    yield from document.texts
    yield from document.tables
    yield from document.pictures
    yield from document.key_value_items
    yield from document.form_items
    yield from document.field_regions
    yield from document.field_items


def _ancestors(item: NodeItem, document: DoclingDocument) -> Iterator[NodeItem]:
    """The groups and items that contain an item, nearest first."""
    while item.parent is not None:
        item = item.parent.resolve(document)
        yield item
