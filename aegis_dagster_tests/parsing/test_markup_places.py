"""Every place of a markup format: its word is in a chunk, or in the list of what is left out, with the reason."""

from pathlib import Path

import pytest

from aegis_dagster.parsing.checks import count_pages
from aegis_dagster.parsing.formats import check_kind
from aegis_dagster.parsing.readers import Parsed, reader_of
from aegis_dagster_tests.support.chunked_documents import chunk_document
from aegis_dagster_tests.support.markup_files import PLACES

OPTIONS = {"max_pages": 1000, "pdf_route": "rules", "docling_models": None, "ocr": False}


def read(data: bytes, name: str) -> Parsed:
    kind = check_kind(data, Path(name).suffix)
    count_pages(data, kind, max_pages=1000)
    return reader_of(kind)(data, name=name, kind=kind, options=OPTIONS)


def chunked(data: bytes, name: str) -> str:
    """The texts of the chunks with their headings."""
    chunks = chunk_document(read(data, name).document).chunks
    return "\n".join(part for chunk in chunks for part in (*chunk.headings, chunk.text))


def test_hidden_sheets_rows_and_columns_are_read_where_they_are_wanted() -> None:
    data, _, left_out = PLACES["a.ods"]
    parsed = reader_of("ods")(data, name="a.ods", kind="ods", options={**OPTIONS, "read_hidden": True})
    assert parsed.left_out == ()
    text = "\n".join(chunk.text for chunk in chunk_document(parsed.document).chunks)
    assert [word for word in left_out if word not in text] == []


@pytest.mark.parametrize("name", PLACES)
def test_every_place_of_the_format_is_in_a_chunk_or_counted_as_left_out(name: str) -> None:
    data, shown, left_out = PLACES[name]
    parsed = read(data, name)
    text = chunked(data, name)
    assert [word for word in shown if word not in text] == []
    assert [word for word in left_out if word in text] == []
    found = {word: item.reason for word in left_out for item in parsed.left_out if word in item.text.split()}
    assert found == left_out
