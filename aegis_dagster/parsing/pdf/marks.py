"""Reads what stands on a PDF's pages without being part of them: fields, notes, attachments.

Runs in a worker; pypdfium2 is imported inside functions.
"""

import contextlib
import ctypes
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from aegis_dagster.domain.left_out import LeftOut, Reason
from aegis_dagster.parsing.pdf.form_rules import Field, FieldKind
from aegis_dagster.parsing.pdf.layout_rules import Rect

# Beyond these a document is not made by people.
_MAX_ON_PAGE: Final = 1_000
_MAX_MARKS: Final = 50_000
_MAX_CHARACTERS: Final = 2_000_000
_MAX_OPTIONS: Final = 200
_MAX_ATTACHMENTS: Final = 1_000
_MAX_NAME: Final = 200  # characters
_NAMED: Final = 5  # attachments in a warning

_HIDDEN: Final = 0x02 | 0x20  # the flags Hidden and NoView
_UNITS: Final = 16  # steps of a point in which pdfium gives a place on a page
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")


@dataclass(frozen=True, slots=True)
class Note:
    """What someone wrote on a page."""

    page_no: int  # 1-based
    rect: Rect
    text: str  # with its author


@dataclass(slots=True)
class Marks:
    """The fields, notes and attachments of a PDF."""

    fields: dict[int, list[Field]] = field(default_factory=dict)  # by page, 1-based
    notes: list[Note] = field(default_factory=list)
    attachments: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_marks(data: bytes) -> Marks:
    """The marks of a PDF that pypdfium2 can open; else none, because the reader of pages reports the damage."""
    import pypdfium2

    marks = Marks()
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError:
        return marks
    try:
        reader = _Reader(document, marks)
        form = document.get_formtype()
        if form == pypdfium2.raw.FORMTYPE_XFA_FULL:
            marks.warnings.append("its form (XFA) is not read; print it to a PDF in Adobe Reader")
        if form != pypdfium2.raw.FORMTYPE_NONE:
            for page_no in range(1, len(document) + 1):
                reader.visit(page_no, reader.note_value)
            with contextlib.suppress(pypdfium2.PdfiumError):  # then the form has no fields
                document.init_forms()
        for page_no in range(1, len(document) + 1):
            reader.too_many += reader.visit(page_no, reader.read)
        reader.read_attachments()
    finally:
        document.close()
    return marks


class _Reader:
    """Reads one document."""

    def __init__(self, document: Any, marks: Marks) -> None:
        import pypdfium2.raw

        self._pdfium: Any = pypdfium2.raw
        self._document = document
        self._marks = marks
        self._count = self._characters = self.too_many = 0
        self._ticked: set[tuple[int, int]] = set()  # by page and number, boxes whose value alone says so

    def visit(self, page_no: int, visitor: Callable[[Any, int, int, Any], None]) -> int:
        """Show the annotations of a page (1-based) to a visitor: page, its number, the annotation's, annotation.

        Returns how many are not shown.
        """
        import pypdfium2

        try:
            page = self._document[page_no - 1]
        except pypdfium2.PdfiumError:
            return 0  # the reader of pages warns of it
        try:
            count: int = self._pdfium.FPDFPage_GetAnnotCount(page)
            for number in range(min(count, _MAX_ON_PAGE)):
                annotation = self._pdfium.FPDFPage_GetAnnot(page, number)
                if annotation:
                    try:
                        visitor(page, page_no, number, annotation)
                    finally:
                        self._pdfium.FPDFPage_CloseAnnot(annotation)
            return max(0, count - _MAX_ON_PAGE)
        finally:
            page.close()

    def note_value(self, page: Any, page_no: int, number: int, annotation: Any) -> None:
        """Note a box that is ticked by its value alone. pdfium forgets that value when it opens the form."""
        pdfium = self._pdfium
        drawn = pdfium.FPDFAnnot_HasKey(annotation, b"AP") and pdfium.FPDFAnnot_HasKey(annotation, b"AS")
        widget = pdfium.FPDFAnnot_GetSubtype(annotation) == pdfium.FPDF_ANNOT_WIDGET
        if widget and not drawn and self._string(annotation, "V") not in ("", "Off"):
            self._ticked.add((page_no, number))

    def read(self, page: Any, page_no: int, number: int, annotation: Any) -> None:
        """Read an annotation."""
        if self._count == _MAX_MARKS:
            self.too_many += 1
            return
        self._count += 1
        pdfium = self._pdfium
        subtype = pdfium.FPDFAnnot_GetSubtype(annotation)
        hidden = bool(pdfium.FPDFAnnot_GetFlags(annotation) & _HIDDEN)
        if subtype == pdfium.FPDF_ANNOT_WIDGET:
            found = self._field(page, annotation, ticked=(page_no, number) in self._ticked)
            if found is not None and not hidden:
                self._marks.fields.setdefault(page_no, []).append(found)
            elif found is not None and found.kind is not FieldKind.TICK and found.value:
                self._leave_out(page_no, found.value)
            return
        if subtype in (pdfium.FPDF_ANNOT_LINK, pdfium.FPDF_ANNOT_POPUP):
            return
        text = self._string(annotation, "Contents")
        if subtype == pdfium.FPDF_ANNOT_FILEATTACHMENT:
            self._attach(annotation)
        if subtype == pdfium.FPDF_ANNOT_STAMP:
            text = text or self._string(annotation, "Name")
        if not text:
            return
        if hidden:
            self._leave_out(page_no, text)
        elif subtype == pdfium.FPDF_ANNOT_FREETEXT:
            typed = Field(self._rect(page, annotation), FieldKind.FREE, text)
            self._marks.fields.setdefault(page_no, []).append(typed)
        else:
            author = self._string(annotation, "T")
            kind = "Stamp" if subtype == pdfium.FPDF_ANNOT_STAMP else "Note"
            heading = f"{kind} by {author}" if author else kind
            self._marks.notes.append(Note(page_no, self._rect(page, annotation), f"{heading}: {text}"))

    def _field(self, page: Any, annotation: Any, *, ticked: bool) -> Field | None:
        """None for buttons to push, signatures, and what is no field."""
        pdfium, form = self._pdfium, self._document.formenv
        if form is None:
            return None
        kind = pdfium.FPDFAnnot_GetFormFieldType(form, annotation)
        rect = self._rect(page, annotation)
        name = self._name(annotation)
        if kind in (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON):
            ticked = ticked or bool(pdfium.FPDFAnnot_IsChecked(form, annotation))
            return Field(rect, FieldKind.TICK, "[x]" if ticked else "[ ]", name)
        if kind == pdfium.FPDF_FORMFIELD_TEXTFIELD:
            return Field(rect, FieldKind.TEXT, self._of_form(pdfium.FPDFAnnot_GetFormFieldValue, annotation), name)
        if kind == pdfium.FPDF_FORMFIELD_COMBOBOX:
            chosen = [label for label, ticked in self._options(annotation) if ticked]
            value = ", ".join(chosen) or self._of_form(pdfium.FPDFAnnot_GetFormFieldValue, annotation)
            return Field(rect, FieldKind.TEXT, value, name)
        if kind == pdfium.FPDF_FORMFIELD_LISTBOX:
            options = [f"[x] {label}" if ticked else f"[ ] {label}" for label, ticked in self._options(annotation)]
            return Field(rect, FieldKind.LIST, " ".join(options), name)
        return None

    def _options(self, annotation: Any) -> Iterator[tuple[str, bool]]:
        pdfium, form = self._pdfium, self._document.formenv
        for number in range(min(pdfium.FPDFAnnot_GetOptionCount(form, annotation), _MAX_OPTIONS)):
            label = self._utf16(lambda *to: pdfium.FPDFAnnot_GetOptionLabel(form, annotation, number, *to))  # noqa: B023
            yield label, bool(pdfium.FPDFAnnot_IsOptionSelected(form, annotation, number))

    def _name(self, annotation: Any) -> str:
        """What the field is called: its description, or the last part of its name."""
        described = self._of_form(self._pdfium.FPDFAnnot_GetFormFieldAlternateName, annotation)
        if described:
            return described[:_MAX_NAME]
        name = self._of_form(self._pdfium.FPDFAnnot_GetFormFieldName, annotation)
        return re.sub(r"\[\d+\]$", "", name.rsplit(".", 1)[-1])[:_MAX_NAME]

    def _attach(self, annotation: Any) -> None:
        attachment = self._pdfium.FPDFAnnot_GetFileAttachment(annotation)
        if attachment:
            self._name_attachment(self._utf16(lambda *to: self._pdfium.FPDFAttachment_GetName(attachment, *to)))

    def read_attachments(self) -> None:
        """Read the names of the embedded files, and warn of what is not read."""
        pdfium = self._pdfium
        count = pdfium.FPDFDoc_GetAttachmentCount(self._document)
        for number in range(min(count, _MAX_ATTACHMENTS)):
            attachment = pdfium.FPDFDoc_GetAttachment(self._document, number)
            if attachment:
                self._name_attachment(self._utf16(lambda *to: pdfium.FPDFAttachment_GetName(attachment, *to)))  # noqa: B023
        names = self._marks.attachments
        total = len(names) + max(0, count - _MAX_ATTACHMENTS)
        if names:
            shown = ", ".join(names[:_NAMED]) + (f" and {total - _NAMED} more" if total > _NAMED else "")
            files = "1 attached file is" if total == 1 else f"{total} attached files are"
            self._marks.warnings.append(f"{files} not read: {shown}; save what you need beside the PDF")
        if self.too_many:
            self._marks.warnings.append(f"{self.too_many} fields and notes are left out: the PDF has too many")

    def _name_attachment(self, name: str) -> None:
        name = name[:_MAX_NAME] or "without a name"
        if name not in self._marks.attachments and len(self._marks.attachments) < _MAX_ATTACHMENTS:
            self._marks.attachments.append(name)

    def _leave_out(self, page_no: int, text: str) -> None:
        self._marks.left_out.append(LeftOut(Reason.HIDDEN_TEXT, f"page {page_no}", text))

    def _rect(self, page: Any, annotation: Any) -> Rect:
        """The place as one sees the page, in points from its top-left corner."""
        pdfium = self._pdfium
        box = pdfium.FS_RECTF()
        pdfium.FPDFAnnot_GetRect(annotation, box)
        width, height = (round(side * _UNITS) for side in page.get_size())
        places = []
        for x, y in ((box.left, box.top), (box.right, box.bottom)):
            right, down = ctypes.c_int(), ctypes.c_int()
            pdfium.FPDF_PageToDevice(page, 0, 0, width, height, 0, x, y, right, down)
            places.append((right.value / _UNITS, down.value / _UNITS))
        (left, top), (right_, bottom) = places
        return Rect(min(left, right_), min(top, bottom), max(left, right_), max(top, bottom))

    def _string(self, annotation: Any, key: str) -> str:
        return self._utf16(lambda *to: self._pdfium.FPDFAnnot_GetStringValue(annotation, key.encode(), *to))

    def _of_form(self, get: Any, annotation: Any) -> str:
        return self._utf16(lambda *to: get(self._document.formenv, annotation, *to))

    def _utf16(self, get: Callable[..., int]) -> str:
        """A text as pdfium gives it: first its size, then its bytes. Texts beyond the limit in all are empty."""
        size = get(None, 0)
        if size <= 2:
            return ""
        if self._characters + size // 2 > _MAX_CHARACTERS:
            self.too_many += 1
            return ""
        self._characters += size // 2
        buffer = ctypes.create_string_buffer(size)
        get(ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), size)
        return _CONTROLS.sub(" ", buffer.raw[: size - 2].decode("utf-16-le", "replace")).strip()
