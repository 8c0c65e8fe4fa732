"""Where a chunk stands: pages, boxes, pictures, and what was seen in the pictures."""

import pytest
from docling_core.types.doc.base import BoundingBox, CoordOrigin, Size
from docling_core.types.doc.common.origin import DocumentOrigin
from docling_core.types.doc.common.reference import ProvenanceItem
from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.items.table.table_data import RichTableCell
from docling_core.types.doc.labels import DocItemLabel

from aegis_dagster.domain.chunks import Box
from aegis_dagster_tests.support.chunked_documents import chunk_document, empty_document, prov, table_of

both_chunkers = pytest.mark.parametrize("plain", [False, True], ids=["hybrid", "plain"])


@both_chunkers
def test_a_paragraph_over_two_pages_has_both_pages_and_both_boxes(plain: bool) -> None:
    document = empty_document(pages=3)
    paragraph = document.add_text(DocItemLabel.TEXT, "It begins here and ends there.", prov=prov(2, 50, 700, 500, 800))
    paragraph.prov.append(prov(3, 50, 60, 500, 90))
    [chunk] = chunk_document(document, plain=plain).chunks
    assert chunk.pages == (2, 3)
    assert chunk.boxes == (Box(2, 50, 700, 500, 800), Box(3, 50, 60, 500, 90))


@both_chunkers
def test_boxes_from_the_bottom_of_the_page_are_turned_to_the_top(plain: bool) -> None:
    document = empty_document(pages=1)  # 842 points high
    box = BoundingBox(l=50, t=800, r=500, b=780, coord_origin=CoordOrigin.BOTTOMLEFT)
    document.add_text(DocItemLabel.TEXT, "At the top.", prov=ProvenanceItem(page_no=1, bbox=box, charspan=(0, 11)))
    [chunk] = chunk_document(document, plain=plain).chunks
    assert chunk.boxes == (Box(1, 50, 42, 500, 62),)


def test_every_piece_of_a_long_table_has_the_tables_page_and_box() -> None:
    document = empty_document(pages=1)
    rows = [["Key", "Value"], *([f"key{row}", f"value{row}"] for row in range(60))]
    document.add_table(data=table_of(rows), prov=prov(1, 10, 20, 300, 700))
    chunks = chunk_document(document, max_tokens=64).chunks
    assert len(chunks) > 3
    assert {chunk.boxes for chunk in chunks} == {(Box(1, 10, 20, 300, 700),)}


def test_boxes_of_slides_are_in_points() -> None:
    document = DoclingDocument(
        name="slides",
        origin=DocumentOrigin(
            mimetype="application/vnd.openxmlformats-officedocument.presentationml.presentation",
            binary_hash=1,
            filename="slides.pptx",
        ),
    )
    document.add_page(page_no=1, size=Size(width=9144000, height=6858000))
    document.add_text(DocItemLabel.TEXT, "A slide.", prov=prov(1, 914400, 457200, 1828800, 914400))
    [chunk] = chunk_document(document).chunks
    assert chunk.boxes == (Box(1, 72, 36, 144, 72),)


def test_a_sheet_has_a_page_but_no_box_because_its_boxes_count_cells() -> None:
    document = DoclingDocument(
        name="sheets",
        origin=DocumentOrigin(
            mimetype="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            binary_hash=1,
            filename="sheets.xlsx",
        ),
    )
    document.add_page(page_no=1, size=Size(width=2, height=2))
    document.add_table(data=table_of([["A", "B"], ["1", "2"]]), prov=prov(1, 0, 0, 2, 2))
    [chunk] = chunk_document(document).chunks
    assert chunk.pages == (1,)
    assert chunk.boxes == ()


@both_chunkers
def test_a_pictures_description_reaches_chunk_and_markdown_where_the_picture_stands(plain: bool) -> None:
    document = empty_document(pages=2)
    document.add_heading("Results", level=1, prov=prov(1, 50, 50, 300, 70))
    document.add_text(DocItemLabel.TEXT, "Before the chart.", prov=prov(1, 50, 80, 500, 100))
    picture = document.add_picture(prov=prov(2, 60, 100, 400, 300))
    document.add_text(DocItemLabel.TEXT, "After the chart.", prov=prov(2, 50, 320, 500, 340))

    seen = {"picture": picture.self_ref, "text": "Revenue grew to 4711", "described_by": "ocr"}
    result = chunk_document(document, plain=plain, descriptions=[seen])

    [chunk] = result.chunks
    assert chunk.text == "Before the chart.\nRevenue grew to 4711\nAfter the chart."
    assert chunk.pictures == ("#/pictures/0",)
    assert Box(2, 60, 100, 400, 300) in chunk.boxes
    assert chunk.pages == (1, 2)
    positions = [result.markdown.index(text) for text in ("Before the", "Revenue grew", "After the")]
    assert positions == sorted(positions)


@both_chunkers
def test_a_document_of_one_described_picture_has_a_chunk(plain: bool) -> None:
    document = empty_document(pages=1)
    picture = document.add_picture(prov=prov(1, 0, 0, 595, 842))
    seen = {"picture": picture.self_ref, "text": "A scanned letter", "described_by": "ocr"}
    [chunk] = chunk_document(document, plain=plain, descriptions=[seen]).chunks
    assert (chunk.text, chunk.pages, chunk.pictures) == ("A scanned letter", (1,), ("#/pictures/0",))


@both_chunkers
def test_a_caption_refers_to_its_picture(plain: bool) -> None:
    document = empty_document(pages=1)
    caption = document.add_text(DocItemLabel.CAPTION, "Figure 1: the pump", prov=prov(1, 50, 310, 400, 330))
    document.add_picture(caption=caption, prov=prov(1, 50, 100, 400, 300))
    [chunk] = chunk_document(document, plain=plain).chunks
    assert chunk.text == "Figure 1: the pump"
    assert chunk.pictures == ("#/pictures/0",)


@both_chunkers
def test_text_inside_a_picture_is_not_lost(plain: bool) -> None:
    document = empty_document(pages=1)
    picture = document.add_picture(prov=prov(1, 50, 100, 400, 300))
    document.add_text(DocItemLabel.TEXT, "Axis label", parent=picture, prov=prov(1, 60, 280, 200, 295))
    result = chunk_document(document, plain=plain)
    assert result.texts == ["Axis label"]
    assert result.chunks[0].pictures == ("#/pictures/0",)
    assert result.report["coverage"] == 1.0


def test_a_picture_in_a_table_cell_belongs_to_the_table() -> None:
    document = empty_document()
    table = document.add_table(data=table_of([["Part", "Photo"], ["Pump", ""]]))
    picture = document.add_picture(parent=table)
    cell = table.data.table_cells[3]
    rich = RichTableCell(**cell.model_dump(exclude={"ref"}), ref=picture.get_ref())
    table.data.table_cells[3] = rich
    seen = {"picture": picture.self_ref, "text": "A red pump", "described_by": "ocr"}
    [chunk] = chunk_document(document, descriptions=[seen]).chunks
    assert "| Pump | A red pump |" in chunk.text
    assert chunk.pictures == ("#/pictures/0",)


def test_a_description_of_a_picture_that_is_not_there_is_a_warning() -> None:
    document = empty_document()
    document.add_text(DocItemLabel.TEXT, "No pictures.")
    seen = {"picture": "#/pictures/7", "text": "A ghost", "described_by": "ocr"}
    report = chunk_document(document, descriptions=[seen]).report
    assert report["warnings"] == ["The description of #/pictures/7 belongs to no picture of this document."]
