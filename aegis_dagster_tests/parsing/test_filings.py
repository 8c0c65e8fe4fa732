"""Filings of listed companies: memory, headings, and rows that stay whole."""

import gc
import io
import json
import weakref
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from docling.backend import docling_parse_backend
from reportlab.pdfgen.canvas import Canvas

from aegis_dagster.chunking.tasks import chunk_task
from aegis_dagster.embedding.model_files import tokenizer_file
from aegis_dagster.settings import load_settings
from aegis_dagster_tests.parsing.conftest import Parse, Parsed
from aegis_dagster_tests.parsing.rows import is_whole, layout_of, rows_of, tokens
from aegis_dagster_tests.support.missing import missing
from aegis_dagster_tests.support.places import CORPORA

# Of the long ones: statements, notes with tables of eleven columns, a table with remarks beside it.
_PAGES = {"Pfizer_2023Q2_10Q.pdf": (7, 20, 46), "AMCOR_2023Q4_EARNINGS.pdf": (1, 9, 11)}
_RELEASE = "PEPSICO_2023Q1_EARNINGS.pdf"


def bytes_of(path: Path) -> bytes:
    """A filing, or the pages of it that are looked at."""
    if path.name not in _PAGES:
        return path.read_bytes()
    part, file = pypdfium2.PdfDocument.new(), io.BytesIO()
    part.import_pages(pypdfium2.PdfDocument(path), list(_PAGES[path.name]))
    part.save(file)
    return file.getvalue()


def chunk_lines(parsed: Parsed, folder: Path) -> list[list[str]]:
    """Every line of every chunk, in words and numbers."""
    folder.mkdir()
    tokenizer = str(tokenizer_file(load_settings().model_cache))
    options = {"max_tokens": 220, "merge_peers": True, "tokenizer": tokenizer}
    chunk_task(
        {
            "parse_dir": str(parsed.folder),
            "out_dir": str(folder),
            "descriptions": [],
            "plain": False,
            "options": options,
        }
    )
    chunks: list[dict[str, Any]] = json.loads((folder / "chunks.json").read_text("utf-8"))
    return [tokens(line) for chunk in chunks for line in chunk["text"].splitlines()]


@pytest.mark.slow
def test_a_label_and_its_number_stay_on_one_line_of_a_chunk(parse: Parse, tmp_path: Path) -> None:
    folder = CORPORA / "filings"
    if not folder.is_dir():
        missing(f"the shared filings are not at {folder}")
    for path in sorted(folder.iterdir()):
        data = bytes_of(path)
        parsed = parse(data, path.name)
        assert parsed.manifest["warnings"] == []
        rows, lines = rows_of(layout_of(data)), chunk_lines(parsed, tmp_path / f"chunks-{path.stem}")
        torn = [row for row in rows if not is_whole(row, lines)]
        assert len(rows) > 5 and len(torn) <= 0.05 * len(rows), (path.name, len(rows), torn)
        if path.name == _RELEASE:
            headings = [item.text for item in parsed.document.texts if item.label.value == "section_header"]
            assert len(headings) <= 15, headings
            assert {"Guidance and Outlook", "Glossary", "Cautionary Statement"} <= set(headings)
            assert not any(heading.endswith((" and", " we", " for")) for heading in headings), headings


def test_few_decoded_pages_are_held_at_a_time(parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    canvas = Canvas(file, pagesize=(612, 792))
    for page in range(40):
        for row in range(12):  # with lines, because finding ruled tables is the slowest step
            canvas.drawString(40, 780 - 12 * row, f"page {page} row {row} " + "words that take the step some time " * 2)
            canvas.line(30, 778 - 12 * row, 580, 778 - 12 * row)
        canvas.showPage()
    canvas.save()
    held: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0
    backend = docling_parse_backend.ThreadedDoclingParsePageBackend
    opened = backend.__init__

    def count(self: Any, *arguments: Any, **named: Any) -> None:
        nonlocal most
        opened(self, *arguments, **named)
        held.add(self)
        most = max(most, len(held))

    monkeypatch.setattr(backend, "__init__", count)
    assert parse(file.getvalue(), "long.pdf").manifest["pages"] == 40
    gc.collect()
    assert 0 < most <= 20
    assert len(held) <= 1  # the loop over the pages may still name the last one


def test_a_page_with_nothing_but_lines_is_not_read_by_ocr(parse: Parse) -> None:
    file = io.BytesIO()
    canvas = Canvas(file, pagesize=(612, 792))
    canvas.drawString(72, 700, "A page with enough text to be read as it is.")
    canvas.showPage()
    canvas.line(40, 750, 570, 750)
    canvas.showPage()
    canvas.save()
    assert parse(file.getvalue(), "lines.pdf").manifest["ocr_pages"] == 0
