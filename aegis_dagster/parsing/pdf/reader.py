"""Reads PDFs and pictures: docling's document, and what docling does not see.

Import it inside functions only: it imports docling.
"""

import dataclasses
from pathlib import Path
from typing import Any

from aegis_dagster.parsing import converter
from aegis_dagster.parsing.pdf.added_texts import add_attachments, add_notes, unread_fields
from aegis_dagster.parsing.pdf.continued_tables import repeat_headers
from aegis_dagster.parsing.pdf.marks import Marks, read_marks
from aegis_dagster.parsing.pdf.page_edges import keep_one_copy
from aegis_dagster.parsing.readers import Parsed
from aegis_dagster.parsing.serve import answers


def read(data: bytes, *, name: str, kind: str, options: dict[str, Any]) -> Parsed:
    """The document of the bytes, as `readers.Reader` has it.

    options: also `answer`, the file of what a docling-serve answered for these bytes, if one was asked, and `pages`.
    Raises as `converter.read` and `answers.read` do.
    """
    marks = read_marks(data) if kind == "pdf" else Marks()
    if answer := options.get("answer"):
        parsed = answers.read(Path(answer), pages=options["pages"])
    else:
        parsed = converter.read(data, name=name, kind=kind, options=options, fields=marks.fields)
    repeat_headers(parsed.document)
    left_out = keep_one_copy(parsed.document)
    unread = unread_fields(parsed.document, marks.fields) if parsed.route != "rules" else []
    add_notes(parsed.document, [*unread, *marks.notes])
    add_attachments(parsed.document, marks.attachments)
    return dataclasses.replace(
        parsed,
        left_out=(*parsed.left_out, *left_out, *marks.left_out),
        warnings=(*parsed.warnings, *marks.warnings),
    )
