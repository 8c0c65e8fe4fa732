"""The parse task: what it writes, that it writes the same again, and that it fetches nothing."""

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from docling_core.types.doc.items.text import SectionHeaderItem
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from aegis_dagster_tests.parsing.conftest import Parse, Parsed
from aegis_dagster_tests.support import bad_files as samples

BODY = "Plain words of the body of this report, which are set in a small size."


def report_pdf() -> bytes:
    """Two pages: heading, text, a ruled table, a picture, a running footer."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=1)
    for page in (1, 2):
        canvas.setFont("Helvetica-Bold", 16)
        canvas.drawString(72, 760, f"Chapter {page}")
        canvas.setFont("Helvetica", 10)
        for row in range(4):
            canvas.drawString(72, 730 - 12 * row, BODY)
        canvas.drawString(72, 30, f"Confidential, page {page}")
        if page == 1:
            for column in range(3):
                canvas.line(72 + 100 * column, 560, 72 + 100 * column, 620)
            for row in range(4):
                canvas.line(72, 560 + 20 * row, 272, 560 + 20 * row)
                if row < 3:
                    canvas.drawString(76, 566 + 20 * row, f"name {row}")
                    canvas.drawString(176, 566 + 20 * row, f"value {row}")
            canvas.drawImage(ImageReader(io.BytesIO(samples.picture("PNG"))), 72, 300, 160, 100)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def files_of(parsed: Parsed) -> dict[str, bytes]:
    found = {str(path.relative_to(parsed.folder)): path.read_bytes() for path in parsed.folder.rglob("*.*")}
    manifest = json.loads(found.pop("manifest.json"))
    del manifest["seconds"]
    return {**found, "manifest": json.dumps(manifest).encode()}


def test_a_pdf_gives_headings_tables_pictures_and_pages(parse: Parse) -> None:
    parsed = parse(report_pdf(), "report.pdf")
    document = parsed.document
    counts = {key: parsed.manifest[key] for key in ("format", "route", "pages", "tables", "pictures", "ocr_pages")}
    assert counts == {"format": "pdf", "route": "rules", "pages": 2, "tables": 1, "pictures": 1, "ocr_pages": 0}
    headings = [(item.text, item.prov[0].page_no) for item in document.texts if isinstance(item, SectionHeaderItem)]
    assert headings == [("Chapter 1", 1), ("Chapter 2", 2)]
    rows = [[cell.text for cell in row] for row in document.tables[0].data.grid]
    assert rows == [[f"name {row}", f"value {row}"] for row in (2, 1, 0)]
    assert document.export_to_markdown().count(BODY) == 8
    assert document.export_to_markdown().count("Confidential") == 1
    assert "Confidential, page 2" in parsed.markdown
    assert parsed.manifest["left_out"] == {"running_line": 1}


def test_a_picture_is_a_file_beside_the_document_at_its_place_on_the_page(parse: Parse) -> None:
    parsed = parse(report_pdf(), "report.pdf")
    document = parsed.document
    document.load_local_images(parsed.folder)
    picture = document.pictures[0]
    assert picture.image is not None and str(picture.image.uri) == "pictures/picture-0000.png"
    image = picture.get_image(document)
    assert image is not None and abs(image.width - 320) <= 4 and abs(image.height - 200) <= 4
    box = picture.prov[0].bbox
    assert [round(edge) for edge in (box.l, box.b, box.r, box.t)] == [72, 300, 232, 400]
    red, green, blue = image.convert("RGB").crop((70, 70, 71, 71)).tobytes()
    assert red > 200 > 60 > max(green, blue)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("quarterly.pdf", report_pdf()),
        ("quarterly.rst", b"Title\n=====\n\nWords.\n"),
        ("quarterly.docx", samples.docx(["One", "Two"])),
        ("quarterly.pptx", samples.pptx(2)),
        ("quarterly.html", b"<html><body><h1>Title</h1><p>Words.</p></body></html>"),
        ("quarterly.csv", b"a,b\n1,2\n"),
    ],
)
def test_equal_bytes_give_equal_files_that_name_neither_path_nor_original(
    parse: Parse, tmp_path: Path, name: str, data: bytes
) -> None:
    first = parse(data, name)
    second = parse(data, f"annual{Path(name).suffix}")
    assert files_of(first) == files_of(second)
    text = (first.folder / "document.json").read_text("utf-8")
    assert str(tmp_path) not in text and "quarterly" not in text and "annual" not in text
    document = first.document
    assert document.name == hashlib.sha256(data).hexdigest()[:16]


def test_the_manifest_on_disk_is_the_one_returned(parse: Parse) -> None:
    parsed = parse(b"Some words.\n", "notes.txt")
    assert json.loads((parsed.folder / "manifest.json").read_text("utf-8")) == parsed.manifest
    assert set(parsed.manifest) == {
        *("format", "route", "pages", "tables", "pictures", "characters", "ocr_pages", "warnings", "seconds")
    }
    assert parsed.manifest["characters"] == len("Some words.")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("book.epub", samples.epub("<h1>Chapter</h1><p>Words in a book.</p>"), "Words in a book."),
        ("mail.eml", b"From: a@b.c\nTo: d@e.f\nSubject: News\n\nWords in a letter.\n", "Words in a letter."),
        ("page.md", b"# Title\n\nWords in Markdown.\n", "Words in Markdown."),
        ("page.xhtml", b"<html><body><p>Words in a page.</p></body></html>", "Words in a page."),
        ("run.log", b"12:00 Words in a log\n12:01 more\n", "Words in a log"),
    ],
)
def test_every_text_format_is_read(parse: Parse, name: str, data: bytes, words: str) -> None:
    assert words in parse(data, name).markdown


@pytest.mark.parametrize("name", ["page.md", "table.csv"])
def test_markdown_and_csv_are_read_in_the_encodings_of_plain_text(parse: Parse, name: str) -> None:
    assert "Größe" in parse("Größe;Maß\n1;2\n".encode("utf-16"), name).markdown


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A web server that notes what is asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the console."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", asked
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.mark.parametrize("kind", ["html", "md", "epub", "docx"])
def test_pictures_elsewhere_are_not_fetched(parse: Parse, server: tuple[str, list[str]], kind: str) -> None:
    address, asked = server
    link = f"{address}/picture.png"
    data = {
        "html": f'<html><body><p>Words</p><img src="{link}"></body></html>'.encode(),
        "md": f"Words\n\n![picture]({link})\n".encode(),
        "epub": samples.epub(f'<p>Words</p><img src="{link}"/>'),
        "docx": docx_with_linked_picture(link),
    }[kind]
    assert "Words" in parse(data, f"page.{kind}").markdown
    assert asked == []


def docx_with_linked_picture(link: str) -> bytes:
    import docx

    document = docx.Document()
    document.add_paragraph("Words")
    document.add_picture(io.BytesIO(samples.picture("PNG")))
    for relation in document.part.rels.values():
        if "image" in relation.reltype:
            relation._is_external = True
            relation._target = link
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def test_pictures_inside_a_web_page_are_kept(parse: Parse) -> None:
    import base64

    inside = base64.b64encode(samples.picture("PNG")).decode()
    parsed = parse(
        f'<html><body><p>Words</p><img src="data:image/png;base64,{inside}"></body></html>'.encode(), "a.html"
    )
    assert [path.name for path in (parsed.folder / "pictures").iterdir()] == ["picture-0000.png"]


@pytest.mark.slow
def test_a_scanned_page_is_read_and_a_page_with_text_is_not_read_again(parse: Parse) -> None:
    import pypdfium2

    drawn = pypdfium2.PdfDocument(samples.pdf([[(72, 100, 18, "Recognised words"), (72, 140, 12, "of a scan")]]))
    scan = drawn[0].render(scale=2).to_pil()
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=1)
    canvas.drawImage(ImageReader(scan), 0, 0, *A4)
    canvas.showPage()
    canvas.drawString(72, 700, "This page has a text of its own, and needs no recognition.")
    canvas.showPage()
    canvas.save()
    parsed = parse(buffer.getvalue(), "scan.pdf")
    assert parsed.manifest["ocr_pages"] == 1
    assert "Recognised words" in parsed.markdown and "text of its own" in parsed.markdown
    assert parsed.manifest["pictures"] == 0
