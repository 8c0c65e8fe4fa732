"""Adds to a document what stands on its pages without being part of them: notes, the names of attachments.

Import it inside functions only: it imports docling.
"""

from collections.abc import Iterable, Mapping, Sequence

from docling_core.types.doc.base import BoundingBox, CoordOrigin
from docling_core.types.doc.common.reference import ProvenanceItem, RefItem
from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.items.node import DocItem, NodeItem
from docling_core.types.doc.labels import DocItemLabel

from aegis_dagster.parsing.pdf.form_rules import Field, FieldKind
from aegis_dagster.parsing.pdf.marks import Note


def add_notes(document: DoclingDocument, notes: Iterable[Note]) -> None:
    """Put each note at the end of its page."""
    children = list(document.body.children)
    places: list[tuple[int, RefItem]] = []
    page_no = 0
    for child in children:
        page_no = max(page_no, _first_page(child.resolve(document), document))
        places.append((page_no, child))
    for note in notes:
        rect = note.rect
        box = BoundingBox(l=rect.left, t=rect.top, r=rect.right, b=rect.bottom, coord_origin=CoordOrigin.TOPLEFT)
        prov = ProvenanceItem(page_no=note.page_no, bbox=box, charspan=(0, len(note.text)))
        item = document.add_text(DocItemLabel.TEXT, note.text, prov=prov)
        places.append((note.page_no, item.get_ref()))
    document.body.children = [child for _, child in sorted(places, key=lambda place: place[0])]


def _first_page(item: NodeItem, document: DoclingDocument) -> int:
    """The page where an item begins; 0 if it stands on none."""
    while not (isinstance(item, DocItem) and item.prov):
        if not item.children:
            return 0
        item = item.children[0].resolve(document)
    return item.prov[0].page_no


def add_attachments(document: DoclingDocument, names: Sequence[str]) -> None:
    """Name the attachments at the end."""
    if names:
        document.add_text(DocItemLabel.TEXT, f"Attachments: {', '.join(names)}")


def unread_fields(document: DoclingDocument, fields: Mapping[int, Sequence[Field]]) -> list[Note]:
    """The ticks, and the values that are in no text of their page: docling's own layout does not see them."""
    texts: dict[int, list[str]] = {}
    for text in document.texts:
        for prov in text.prov:
            texts.setdefault(prov.page_no, []).append(text.text)
    for table in document.tables:
        for prov in table.prov:
            texts.setdefault(prov.page_no, []).extend(cell.text for cell in table.data.table_cells)
    pages = {page_no: " ".join(" ".join(own).split()) for page_no, own in texts.items()}
    notes = []
    for page_no, own in fields.items():
        for field in own:
            if field.kind in (FieldKind.TICK, FieldKind.LIST):
                notes.append(Note(page_no, field.rect, f"{field.value} {field.name}".strip()))
            elif field.value and " ".join(field.value.split()) not in pages.get(page_no, ""):
                notes.append(Note(page_no, field.rect, f"{field.name}: {field.value}" if field.name else field.value))
    return notes
