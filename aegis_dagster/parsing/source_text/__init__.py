"""What a file holds, found by simple readers: the measure of what the real readers and the chunkers have kept.

A simple reader collects text and understands nothing: no tables, no reading order, no headings. It shares no code with
the reader of its format, so that the two cannot lose the same text.
"""

import importlib
from typing import Final

from aegis_dagster.domain.left_out import LeftOut, Piece

# Format -> module of this package with a function `read(data, kind)` that yields pieces, and the texts that are left
# out on purpose. Pictures have none: their text is what OCR finds.
_READERS: Final[dict[str, str]] = {
    "pdf": "pdf",
    "docx": "word",
    "pptx": "slides",
    "xlsx": "sheets",
    "html": "web",
    "epub": "web",
    **dict.fromkeys(("md", "asciidoc", "latex", "vtt"), "markup"),
    "eml": "mail",
    "msg": "mail",
    "odt": "odf",
    "ods": "odf",
    "odp": "odf",
    **dict.fromkeys(("xml", "jats", "uspto", "docbook"), "xml"),
    "docling-json": "docling_json",
    **dict.fromkeys(("text", "csv"), "plain"),
}


def texts_of(data: bytes, kind: str) -> tuple[list[Piece], list[LeftOut]]:
    """The texts of a file and those that nobody sees in it; none for a format without a simple reader.

    Raises whatever the libraries raise for damaged bytes.
    """
    if kind not in _READERS:
        return [], []
    found = list(importlib.import_module(f"{__name__}.{_READERS[kind]}").read(data, kind))
    pieces = [item for item in found if isinstance(item, Piece) and item.text.strip()]
    return pieces, [item for item in found if isinstance(item, LeftOut) and item.text.strip()]


def pieces_of(data: bytes, kind: str) -> list[Piece]:
    """The texts of a file, as `texts_of` finds them."""
    return texts_of(data, kind)[0]
