"""Small files made on the spot. Nothing here is random: equal calls give equal bytes."""

import io
import zipfile
from collections.abc import Sequence

from PIL import Image, ImageDraw


def pdf(pages: Sequence[Sequence[tuple[float, float, int, str]]], *, encrypt: object = None) -> bytes:
    """A PDF: for each page its lines as (x, y from the top, font size, text); sizes above 12 are bold."""
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=1, encrypt=encrypt)
    for lines in pages:
        for x, y, size, text in lines:
            canvas.setFont("Helvetica-Bold" if size > 12 else "Helvetica", size)
            canvas.drawString(x, A4[1] - y, text)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def one_page_pdf(text: str = "A page with enough text to be read without recognition.") -> bytes:
    return pdf([[(72, 100, 11, text)]])


def docx(paragraphs: Sequence[str]) -> bytes:
    from docx import Document

    document = Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def pptx(slides: int) -> bytes:
    from pptx import Presentation

    deck = Presentation()
    for number in range(slides):
        deck.slides.add_slide(deck.slide_layouts[5]).shapes.title.text = f"Slide {number + 1}"
    buffer = io.BytesIO()
    deck.save(buffer)
    return buffer.getvalue()


def picture(kind: str, size: tuple[int, int] = (320, 200), frames: int = 1) -> bytes:
    """A picture with shapes and without text. kind: Pillow's format name."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 20, 120, 120), fill="red")
    draw.rectangle((150, 50, 300, 180), fill="blue")
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": [image.copy() for _ in range(frames - 1)]} if frames > 1 else {}
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            # An EPUB begins with its type, which must not be compressed (EPUB 3.3, 4.2.2).
            file.writestr(name, content, zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def compound_file(stream: str) -> bytes:
    """The start of an OLE compound file whose directory names a stream."""
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1024) + stream.encode("utf-16-le") + bytes(512)


def epub(chapter: str) -> bytes:
    container = (
        '<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<rootfiles><rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    package = (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>A small book</dc:title>'
        '<dc:identifier id="id">x</dc:identifier><dc:language>en</dc:language></metadata>'
        '<manifest><item id="c" href="c.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="c"/></spine></package>'
    )
    page = f'<html xmlns="http://www.w3.org/1999/xhtml"><head><title>c</title></head><body>{chapter}</body></html>'
    return archive(
        {
            "mimetype": b"application/epub+zip",
            "META-INF/container.xml": container.encode(),
            "book.opf": package.encode(),
            "c.xhtml": page.encode(),
        }
    )
