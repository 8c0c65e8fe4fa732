"""Reads pages, Markdown and electronic books: docling reads the tree of a page, and what Markdown has no page for."""

from typing import TYPE_CHECKING, Any

from aegis_dagster.domain.left_out import LeftOut
from aegis_dagster.errors import DocumentError
from aegis_dagster.parsing.checks import corrupt, too_large_for_memory
from aegis_dagster.parsing.readers import Parsed
from aegis_dagster.parsing.text.encodings import Decoded, declared_in, decode
from aegis_dagster.parsing.text.reader import read as read_text

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from docling_core.types.doc.document import DoclingDocument


def read(data: bytes, *, name: str, kind: str, options: dict[str, Any]) -> Parsed:
    """The document of a page, a Markdown text or a book, as `readers.Reader` has it."""
    try:
        match kind:
            case "epub":
                from aegis_dagster.parsing.web.epub import read_book

                page, title, left_out, warnings = read_book(data)
                return Parsed(_document(page, title, name), "docling", warnings, tuple(left_out))
            case "md":
                return _read_markdown(decode(data), name)
            case _:
                decoded = decode(data, declared_in(data))
                document, left_out = document_of_page(decoded.text, name)
                return Parsed(document, "docling", decoded.warnings(), tuple(left_out))
    except DocumentError:
        raise
    except RecursionError as error:
        if kind != "md":
            raise corrupt("its elements are nested too deeply.") from error
        plain = read_text(data, name=name, kind="text", options=options)
        warning = "Its lists or quotes are nested too deeply for Markdown; it was read as plain text."
        return Parsed(plain.document, plain.route, (*plain.warnings, warning))
    except MemoryError as error:
        raise too_large_for_memory() from error
    except Exception as error:
        # docling's reader has no common class of errors.
        raise corrupt(f"its reader stopped with {type(error).__name__}.") from error


def _read_markdown(decoded: Decoded, name: str) -> Parsed:
    from aegis_dagster.parsing.web.markdown import read_markdown
    from aegis_dagster.parsing.web.markdown_document import document_of

    text = read_markdown(decoded.text)
    document, left_out = document_of(text, name), list[LeftOut]()
    if document is None:
        document, left_out = document_of_page(text.to_html(), name)
    return Parsed(document, "docling", decoded.warnings(), tuple(left_out))


def document_of_page(text: str, name: str) -> "tuple[DoclingDocument, list[LeftOut]]":
    """docling's document of a page's text, and what is hidden in the page."""
    from aegis_dagster.parsing.web.page_rules import rewrite, take_title
    from aegis_dagster.parsing.web.page_tree import read_tree

    page = read_tree(text)
    title = take_title(page)
    left_out = rewrite(page)
    return _document(page, title, name), left_out


def _document(page: "BeautifulSoup", title: str, name: str) -> "DoclingDocument":
    from aegis_dagster.parsing.web.page_reader import document_of
    from aegis_dagster.parsing.web.page_rules import put_title

    put_title(page, title)
    return document_of(page, name)
