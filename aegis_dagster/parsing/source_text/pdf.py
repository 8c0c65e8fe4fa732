"""The text of PDFs by pypdfium2: pages, annotations, values of form fields, names of attachments."""

import ctypes
from collections.abc import Iterator

import pypdfium2
import pypdfium2.raw as pdfium

from aegis_dagster.domain.left_out import Piece

_LINE_END_HYPHEN = "\ufffe"  # pdfium's sign for a hyphen that ends a line
_TICKED = ("Off", "")
_NO_NOTES = (pdfium.FPDF_ANNOT_POPUP, pdfium.FPDF_ANNOT_LINK, pdfium.FPDF_ANNOT_WIDGET)  # a popup repeats its parent
_VALUES = (pdfium.FPDF_FORMFIELD_TEXTFIELD, pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX)


def read(data: bytes, kind: str) -> Iterator[Piece]:
    """One piece a page; the notes and values on it; the names of attachments."""
    document = pypdfium2.PdfDocument(data)
    try:
        if document.get_formtype() != pdfium.FORMTYPE_NONE:
            document.init_forms()
        for number in range(len(document)):
            page = document[number]
            try:
                yield from _page(document, page, f"page {number + 1}")
            finally:
                page.close()
        for number in range(document.count_attachments()):
            yield Piece("attachment", document.get_attachment(number).get_name())
    finally:
        document.close()


def _page(document: pypdfium2.PdfDocument, page: pypdfium2.PdfPage, place: str) -> Iterator[Piece]:
    text_page = page.get_textpage()
    try:
        whole, shown = text_page.get_text_range(), text_page.get_text_bounded()
        if _characters(shown) < _characters(whole):
            whole = shown  # printers write beside the part of the page that is shown
        yield Piece(place, whole.replace(_LINE_END_HYPHEN, "-"))
    finally:
        text_page.close()
    for number in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, number)
        if annotation:
            try:
                yield from _annotation(document, annotation, place)
            finally:
                pdfium.FPDFPage_CloseAnnot(annotation)


def _characters(text: str) -> int:
    """How many there are, without white space: on turned pages, pdfium's two ways of reading part words differently."""
    return sum(map(len, text.split()))


def _annotation(document: pypdfium2.PdfDocument, annotation: "pdfium.FPDF_ANNOTATION", place: str) -> Iterator[Piece]:
    kind = pdfium.FPDFAnnot_GetSubtype(annotation)
    if kind not in _NO_NOTES:
        yield Piece(f"{place}, note", _string(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents"))
    elif kind == pdfium.FPDF_ANNOT_WIDGET and document.formenv is not None:
        form = document.formenv
        if pdfium.FPDFAnnot_GetFormFieldType(form, annotation) in _VALUES:
            yield Piece(f"{place}, form field", _string(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation))


def _string(function: "ctypes._FuncPointer", *arguments: object) -> str:
    """The text that a function of pdfium writes into a buffer, in UTF-16."""
    length = function(*arguments, None, 0)
    buffer = ctypes.create_string_buffer(length)
    function(*arguments, ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), length)
    return buffer.raw[:length].decode("utf-16-le", "replace").rstrip("\x00")
