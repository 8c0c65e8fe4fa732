"""Reads a book's parts in their order and makes one page of them. Imports bs4 and lxml: load it in a worker."""

import io
import posixpath
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from bs4 import BeautifulSoup
from bs4.element import Tag
from lxml import etree

from aegis_dagster.domain.left_out import LeftOut
from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.parsing.checks import corrupt
from aegis_dagster.parsing.text.encodings import declared_in, decode, is_text
from aegis_dagster.parsing.unpacking import UNREADABLE_PART
from aegis_dagster.parsing.web.page_rules import put_title, rewrite, take_title
from aegis_dagster.parsing.web.page_tree import read_tree

_PAGES: Final = frozenset({"application/xhtml+xml", "text/html", "image/svg+xml"})
_PAGE_SUFFIXES: Final = (".xhtml", ".html", ".htm", ".xht")
_CONTAINER: Final = "META-INF/container.xml"
_ENCRYPTION: Final = "META-INF/encryption.xml"


@dataclass(frozen=True, slots=True)
class _Package:
    """What a book's package says."""

    title: str
    authors: tuple[str, ...]
    pages: tuple[str, ...]  # names in the archive, in reading order


def read_book(data: bytes) -> tuple[BeautifulSoup, str, list[LeftOut], tuple[str, ...]]:
    """One page of all parts, the book's title, the hidden texts, and warnings about parts and their encodings.

    Raises DocumentError: CORRUPT_FILE, ENCRYPTED_FILE.
    """
    book = read_tree("<html><body></body></html>")
    body = book.body or book
    left_out: list[LeftOut] = []
    warnings: list[str] = []
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        package = _package(archive)
        if package.authors:
            element = book.new_tag("p")
            element.string = ", ".join(package.authors)
            body.append(element)
        read, titles = 0, {"", package.title.casefold()}
        for name in package.pages:
            try:
                content = archive.read(name)
            except UNREADABLE_PART:
                warnings.append(f"The part {name} is missing or damaged; the others were read.")
                continue
            if not is_text(content):
                warnings.append(f"The part {name} is no text; the others were read.")
                continue
            decoded = decode(content, declared_in(content))
            warnings += [f"In the part {name}: {warning}" for warning in decoded.warnings()]
            page = read_tree(decoded.text)
            title = take_title(page)
            if title.casefold() not in titles:
                titles.add(title.casefold())
                put_title(page, title, heading="p")
            left_out += [LeftOut(item.reason, f"{name}, {item.place}", item.text) for item in rewrite(page)]
            _append(page, body)
            read += 1
        if not read:
            raise _unread(archive)
    return book, package.title, left_out, tuple(warnings)


def _append(page: BeautifulSoup, body: Tag) -> None:
    """Move a part's content into the book. Its links to other parts lead nowhere there."""
    content = page.body or page
    for link in content.find_all("a", href=True):
        if "://" not in str(link["href"]) and not str(link["href"]).startswith("mailto:"):
            del link["href"]
    if head := content.find("head"):
        head.decompose()
    for node in list(content.contents):
        body.append(node.extract())


def _unread(archive: zipfile.ZipFile) -> DocumentError:
    if _ENCRYPTION in archive.namelist():
        return DocumentError(
            FailureCode.ENCRYPTED_FILE,
            "The book's pages are protected against copying.",
            remedy="ask its publisher for a copy without protection.",
        )
    return corrupt("none of the book's pages can be read.")


def _package(archive: zipfile.ZipFile) -> _Package:
    try:
        container = _xml(archive.read(_CONTAINER))
        path = next(_elements(container, "rootfile")).get("full-path", "")
        package = _xml(archive.read(path))
    except (StopIteration, etree.XMLSyntaxError, *UNREADABLE_PART) as error:
        raise corrupt("its table of contents cannot be read.") from error
    folder = posixpath.dirname(path)
    items = {item.get("id", ""): item for item in _elements(package, "item")}
    spine = [items[ref.get("idref", "")] for ref in _elements(package, "itemref") if ref.get("idref") in items]
    # What no one turns to, notes that open in a window, comes last. The table of contents says what the headings say.
    others = [item for item in items.values() if "nav" not in item.get("properties", "").split()]
    pages = [
        posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))
        for item in [*spine, *others]
        if item.get("media-type") in _PAGES - {"image/svg+xml"}
        or item.get("href", "").lower().endswith(_PAGE_SUFFIXES)
        or (item.get("media-type") in _PAGES and item in spine)
    ]
    titles = [_text(element) for element in _elements(package, "title")]
    authors = [_text(element) for element in _elements(package, "creator")]
    return _Package(next(filter(None, titles), ""), tuple(filter(None, authors)), tuple(dict.fromkeys(pages)))


def _xml(data: bytes) -> Any:
    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False))


def _elements(root: Any, name: str) -> Iterator[Any]:
    yield from root.iter(f"{{*}}{name}")


def _text(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())
