"""A piece of a file that its reader drops is noticed in the chunks, with its place, in every format."""

import json
from collections.abc import Mapping

import pytest
from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.items.node import NodeItem

from aegis_dagster_tests.parsing.conftest import Parse
from aegis_dagster_tests.support.chunked_documents import chunk_parsed
from aegis_dagster_tests.support.small_files import FILES

LOST = "Quillfeather owes 4711 crowns"
PLACES: Mapping[str, str] = {
    ".pdf": "page 2",
    ".docx": "body",
    ".pptx": "slide 2",
    ".xlsx": "sheet Prices",
    ".html": "the page",
    ".epub": "chapter 1",
    ".eml": "body",
    ".msg": "body",
    ".odt": "body",
    ".nxml": "body",
    ".json": "texts",
    ".adoc": "lines 1 to 5",
    ".tex": "lines 1 to 6",
    ".vtt": "lines 1 to 8",
    ".md": "lines 1 to 5",
    ".csv": "lines 1 to 3",
    ".txt": "lines 1 to 5",
}


def drop(document: DoclingDocument, text: str) -> None:
    """What a reader does that loses a text: no item and no cell of the document has it."""
    lost: list[NodeItem] = [item for item in document.texts if text in item.text]
    cells = [cell for table in document.tables for cell in table.data.table_cells if text in cell.text]
    assert lost or cells
    if lost:
        document.delete_items(node_items=lost)
    for cell in cells:
        cell.text = cell.text.replace(text, "")


def test_every_format_is_tried() -> None:
    assert set(FILES) == set(PLACES)


@pytest.mark.parametrize("suffix", FILES)
def test_a_dropped_piece_is_noticed_with_its_place(suffix: str, parse: Parse) -> None:
    data = FILES[suffix](LOST)
    whole, lossy = parse(data, f"whole{suffix}"), parse(data, f"lossy{suffix}")
    assert LOST not in json.dumps(chunk_parsed(whole.folder).report["missing"])

    document = lossy.document
    drop(document, LOST)
    (lossy.folder / "document.json").write_text(document.model_dump_json(), "utf-8")
    report = chunk_parsed(lossy.folder).report
    assert [item["place"] for item in report["missing"] if LOST in item["text"]] == [PLACES[suffix]]
    assert report["losses"] >= 1
    assert report["coverage"] < 1.0


def test_a_document_that_was_parsed_before_texts_were_written_is_compared_with_itself(parse: Parse) -> None:
    parsed = parse(FILES[".txt"](LOST), "old.txt")
    (parsed.folder / "source_text.json").unlink()
    assert chunk_parsed(parsed.folder).report["coverage"] == 1.0
