"""Chooses the reader of each format: the one place that knows which module makes a format's document.

Cheap to import: readers import docling, which takes seconds.
"""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from aegis_dagster.domain.left_out import LeftOut
from aegis_dagster.parsing.formats import IMAGE_FORMATS, ODF_FORMATS, OLD_FORMATS

if TYPE_CHECKING:
    from docling_core.types.doc.document import DoclingDocument

# Format -> module of this package with a function `read`.
_READERS: Final[dict[str, str]] = {
    **dict.fromkeys(IMAGE_FORMATS, "pdf.reader"),
    **dict.fromkeys(ODF_FORMATS, "opendocument.text"),
    **dict.fromkeys(OLD_FORMATS, "office.old_office"),
    **dict.fromkeys(("xml", "jats", "uspto", "docbook"), "markup.xml_document"),
    **dict.fromkeys(("html", "md", "epub"), "web.reader"),
    **dict.fromkeys(("eml", "msg"), "mail.reader"),
    "asciidoc": "markup.asciidoc",
    "csv": "text.csv_table",
    "docling-json": "markup.docling_json",
    "docx": "word.reader",
    "latex": "markup.latex",
    "pdf": "pdf.reader",
    "pptx": "powerpoint.reader",
    "text": "text.reader",
    "vtt": "text.captions",
    "xlsx": "excel.reader",
}


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document as a reader made it."""

    document: "DoclingDocument"
    # Who read it: "docling-models", "rules", "docling-serve", "docling", "office", "markup", "libreoffice", "mail" or
    # "csv".
    route: str
    warnings: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    ocr_pages: int = 0
    converted: tuple[bytes, str] | None = None  # what an old format was converted to, and the format of that


class Reader(Protocol):
    """Makes a document of a file's bytes."""

    def __call__(self, data: bytes, *, name: str, kind: str, options: dict[str, Any]) -> Parsed:
        """`name` carries the suffix and nothing of the original path; `options` are those of `parse_task`.

        Raises DocumentError, ConfigurationError.
        """
        ...


def reader_of(kind: str) -> Reader:
    """The reader of a format."""
    reader: Reader = importlib.import_module(f"{__package__}.{_READERS[kind]}").read
    return reader
