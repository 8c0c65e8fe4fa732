"""Reads the sample documents with each format's own small library, so that docling is not judged here."""

from pathlib import Path

import docx
import openpyxl
import pptx
import pypdfium2


def text_of(document: Path) -> str:
    """All text of a sample, in the order of its file. Raises KeyError for another format."""
    readers = {".pdf": pdf_text, ".docx": docx_text, ".pptx": pptx_text, ".xlsx": xlsx_text}
    plain = {".md", ".html", ".csv", ".eml"}
    return document.read_text("utf-8") if document.suffix in plain else readers[document.suffix](document)


def pdf_text(document: Path) -> str:
    """The text layer of a PDF, page by page; lines joined by one space, words across lines kept apart."""
    pages = pypdfium2.PdfDocument(document)
    return "\f".join(" ".join(page.get_textpage().get_text_bounded().split()) for page in pages)


def docx_text(document: Path) -> str:
    """Paragraphs, then cells of tables."""
    file = docx.Document(str(document))
    cells = [cell.text for table in file.tables for row in table.rows for cell in row.cells]
    return "\n".join([*(paragraph.text for paragraph in file.paragraphs), *cells])


def pptx_text(document: Path) -> str:
    """Text frames and cells of tables, slide by slide."""
    lines: list[str] = []
    for slide in pptx.Presentation(str(document)).slides:
        for shape in slide.shapes:
            if shape.has_text_frame:
                lines.append(shape.text_frame.text)
            if shape.has_table:
                lines.extend(cell.text for row in shape.table.rows for cell in row.cells)
    return "\n".join(lines)


def xlsx_text(document: Path) -> str:
    """Cells row by row, sheet by sheet."""
    book = openpyxl.load_workbook(document, read_only=True)
    rows = [[sheet.title, *row] for sheet in book for row in sheet.iter_rows(values_only=True)]
    return "\n".join("\t".join(str(cell) for cell in row) for row in rows)
