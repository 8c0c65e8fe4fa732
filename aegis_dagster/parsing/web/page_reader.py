"""docling's document of a page's tree. Imports docling: load it in a worker."""

import io
from typing import Any

from bs4 import BeautifulSoup
from docling.backend.html_backend import HTMLDocumentBackend
from docling.datamodel.backend_options import HTMLBackendOptions
from docling.datamodel.base_models import InputFormat
from docling.datamodel.document import InputDocument
from docling_core.types.doc.document import DoclingDocument


class _Reader(HTMLDocumentBackend):
    """docling's reader without its repairs: `page_tree.py` has made them, in linear time."""

    @staticmethod
    def _close_implied_end_tags(soup: BeautifulSoup) -> None:
        """Every element is closed."""

    @staticmethod
    def _fix_invalid_paragraph_structure(soup: BeautifulSoup) -> None:
        """No paragraph holds a block."""


def document_of(page: BeautifulSoup, name: str) -> DoclingDocument:
    """docling's document of the tree."""
    # Pictures inside the file (data: addresses) are read, everything outside it is not. Text before the first heading
    # of a page is ordinary text: inferred furniture would be in no chunk.
    inside: dict[str, Any] = {"fetch_images": True, "enable_remote_fetch": False, "enable_local_fetch": False}
    options = HTMLBackendOptions(infer_furniture=False, add_title=False, **inside)
    nothing = io.BytesIO(b"<p>")
    source = InputDocument(nothing, format=InputFormat.HTML, backend=_Reader, backend_options=options, filename=name)
    reader = _Reader(source, nothing, options)
    reader.soup = page
    return reader.convert()
