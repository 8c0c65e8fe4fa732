"""Small files of every format, with a text of one's own in them."""

import io
import zipfile
from collections.abc import Callable, Mapping
from email.message import EmailMessage

import docx
import openpyxl
import pptx
from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.labels import DocItemLabel
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from aegis_dagster_tests.support.markup_files import odf
from aegis_dagster_tests.support.outlook_mail import message, msg

BEFORE, AFTER = "The harbour was quiet that morning.", "Nobody spoke of it until the evening."


def pdf(text: str) -> bytes:
    """Two pages; the text stands on the second."""
    file = io.BytesIO()
    canvas = Canvas(file, pagesize=A4, invariant=1)
    canvas.drawString(72, 600, BEFORE)
    canvas.showPage()
    canvas.drawString(72, 600, text)
    canvas.drawString(72, 500, AFTER)
    canvas.showPage()
    canvas.save()
    return file.getvalue()


def word(text: str) -> bytes:
    """Three paragraphs."""
    document = docx.Document()
    for paragraph in (BEFORE, text, AFTER):
        document.add_paragraph(paragraph)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def slides(text: str) -> bytes:
    """Two slides; the text stands on the second."""
    deck = pptx.Presentation()
    for paragraph in (BEFORE, text):
        slide = deck.slides.add_slide(deck.slide_layouts[6])
        slide.shapes.add_textbox(100_000, 100_000, 4_000_000, 500_000).text_frame.text = paragraph
        slide.shapes.add_textbox(100_000, 2_000_000, 4_000_000, 500_000).text_frame.text = AFTER
    file = io.BytesIO()
    deck.save(file)
    return file.getvalue()


def sheets(text: str) -> bytes:
    """Two sheets; the text stands on the second, called Prices."""
    book = openpyxl.Workbook()
    book.active.append([BEFORE, AFTER])
    prices = book.create_sheet("Prices")
    for row in (["part", "remark"], ["P-1", text], ["P-2", AFTER]):
        prices.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def page(text: str) -> bytes:
    """A web page."""
    return f"<html><body><h1>{BEFORE}</h1><p>{text}</p><p>{AFTER}</p></body></html>".encode()


def book(text: str) -> bytes:
    """An EPUB of one chapter."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
            '<rootfile full-path="OPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
        )
        archive.writestr(
            "OPS/book.opf",
            '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata/><manifest>'
            '<item id="one" href="one.xhtml" media-type="application/xhtml+xml"/></manifest>'
            '<spine><itemref idref="one"/></spine></package>',
        )
        body = f"<body><h1>{BEFORE}</h1><p>{text}</p><p>{AFTER}</p></body>"
        archive.writestr("OPS/one.xhtml", f'<html xmlns="http://www.w3.org/1999/xhtml"><head/>{body}</html>')
    return file.getvalue()


def mail(text: str) -> bytes:
    """A mail of one text."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "ann@example.org", "bob@example.org", "Moorings"
    message.set_content(f"{BEFORE}\n\n{text}\n\n{AFTER}\n")
    return message.as_bytes()


def outlook_mail(text: str) -> bytes:
    """A mail of one text, as Outlook saves it."""
    return msg(message({0x0037: "Moorings", 0x0C1A: "Ann", 0x1000: f"{BEFORE}\r\n\r\n{text}\r\n\r\n{AFTER}\r\n"}))


def open_document(text: str) -> bytes:
    """Three paragraphs."""
    return odf("text", "".join(f"<text:p>{paragraph}</text:p>" for paragraph in (BEFORE, text, AFTER)))


def article(text: str) -> bytes:
    """An article in JATS."""
    title = f"<article-meta><title-group><article-title>{BEFORE}</article-title></title-group></article-meta>"
    return (
        f'<?xml version="1.0"?><article article-type="research-article"><front>{title}</front>'
        f"<body><p>{text}</p><p>{AFTER}</p></body></article>"
    ).encode()


def docling_json(text: str) -> bytes:
    """A document as docling writes it."""
    document = DoclingDocument(name="document")
    for paragraph in (BEFORE, text, AFTER):
        document.add_text(DocItemLabel.TEXT, paragraph)
    return document.model_dump_json().encode()


# Suffix -> a function that makes a file with a text in it.
FILES: Mapping[str, Callable[[str], bytes]] = {
    ".pdf": pdf,
    ".docx": word,
    ".pptx": slides,
    ".xlsx": sheets,
    ".html": page,
    ".epub": book,
    ".eml": mail,
    ".md": lambda text: f"# {BEFORE}\n\n{text}\n\n{AFTER}\n".encode(),
    ".csv": lambda text: f"part,remark\nP-1,{text}\nP-2,{AFTER}\n".encode(),
    ".msg": outlook_mail,
    ".odt": open_document,
    ".nxml": article,
    ".json": docling_json,
    ".adoc": lambda text: f"= {BEFORE}\n\n{text}\n\n{AFTER}\n".encode(),
    ".tex": lambda text: f"\\begin{{document}}\n{BEFORE}\n\n{text}\n\n{AFTER}\n\\end{{document}}\n".encode(),
    ".vtt": lambda text: f"WEBVTT\n\n{BEFORE}\n\n00:01.000 --> 00:02.000\n{text}\n\nNOTE {AFTER}\n".encode(),
    ".txt": lambda text: f"{BEFORE}\n\n{text}\n\n{AFTER}\n".encode(),
}
