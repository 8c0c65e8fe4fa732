"""PDFs with what stands on a page beside its text: fields, annotations, attachments."""

import ctypes
import io
from collections.abc import Sequence
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

WIDTH, HEIGHT = A4


def canvas_on(buffer: io.BytesIO) -> Canvas:
    """A canvas for A4 pages whose bytes are always the same."""
    return Canvas(buffer, pagesize=A4, invariant=1)


def annotated(
    data: bytes,
    annotations: Sequence[tuple[int, tuple[float, float, float, float], dict[str, str]]],
    attachments: Sequence[str] = (),
) -> bytes:
    """The PDF with attachments, and with annotations on its first page.

    An annotation is pdfium's subtype, its left, bottom, right and top, and its texts.
    """
    document = pypdfium2.PdfDocument(data)
    page = document[0]
    for subtype, (left, bottom, right, top), texts in annotations:
        annotation = pdfium.FPDFPage_CreateAnnot(page, subtype)
        pdfium.FPDFAnnot_SetRect(annotation, pdfium.FS_RECTF(left, top, right, bottom))
        for key, text in texts.items():
            pdfium.FPDFAnnot_SetStringValue(annotation, key.encode(), _wide(text))
        if subtype == pdfium.FPDF_ANNOT_FILEATTACHMENT:
            pdfium.FPDFAnnot_AddFileAttachment(annotation, _wide(texts["name"]))
        pdfium.FPDFPage_CloseAnnot(annotation)
    for name in attachments:
        document.new_attachment(name).set_data(b"data")
    buffer = io.BytesIO()
    document.save(buffer)
    document.close()
    return buffer.getvalue()


def _wide(text: str) -> Any:
    buffer = ctypes.create_string_buffer(text.encode("utf-16-le") + b"\0\0")
    return ctypes.cast(buffer, pdfium.FPDF_WIDESTRING)


def undrawn_form(widgets: Sequence[str], labels: Sequence[tuple[int, int, str]] = ()) -> bytes:
    """A page with labels (left, bottom, text) and fields without appearance, each the inside of its dictionary."""
    content = "".join(f"BT /F 11 Tf {left} {bottom} Td ({text}) Tj ET\n" for left, bottom, text in labels)
    first = 6
    numbers = " ".join(f"{first + n} 0 R" for n in range(len(widgets)))
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [{numbers}] /DA (/F 0 Tf) /DR << /Font << /F 5 0 R >> >> "
        ">> >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> "
        f"/Annots [{numbers}] >>",
        f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        *(f"<< /Type /Annot /Subtype /Widget {widget} >>" for widget in widgets),
    ]
    data, offsets = b"%PDF-1.7\n", []
    for number, value in enumerate(objects, 1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{value}\nendobj\n".encode("latin-1")
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    end = (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\n"
    )
    return data + f"{end}startxref\n{len(data)}\n%%EOF\n".encode("latin-1")
