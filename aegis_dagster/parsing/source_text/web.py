"""The visible text of web pages and EPUB books: titles, alternative texts and footers included; hidden text apart."""

import posixpath
import re
from collections.abc import Iterator
from urllib.parse import unquote

from lxml import etree, html

from aegis_dagster.domain.left_out import LeftOut, Piece, Reason
from aegis_dagster.parsing.source_text.office import Package
from aegis_dagster.parsing.text.encodings import declared_in, decode

_UNSEEN = ("script", "style", "template", "noscript", "datalist", "head")
_HIDDEN_STYLE = re.compile(r"display:none|visibility:(?:hidden|collapse)")
# Elements that stand within a line of text.
_INLINE = re.compile(
    "a|abbr|acronym|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|ins|kbd|mark|q|ruby|rb|rt|rp|s|samp|small|span|"
    "strike|strong|sub|sup|time|tt|u|var|wbr"
)


def read(data: bytes, kind: str) -> Iterator[Piece | LeftOut]:
    """The texts of a page, or of each page of a book."""
    if kind == "epub":
        yield from _book(data)
    else:
        yield from page_texts(decode(data, declared_in(data)).text, "")


def page_texts(page: str, name: str) -> Iterator[Piece | LeftOut]:
    """The texts of one page; `name` says where it stands, "" for a page of its own."""
    if not page.strip():
        return
    reading = html.HTMLParser(encoding="utf-8", no_network=True, huge_tree=False, remove_comments=True, remove_pis=True)
    try:
        root = html.document_fromstring(page.encode("utf-8", "replace"), parser=reading)
    except etree.ParserError:  # nothing but comments
        return
    at = f"{name}, " if name else ""
    seen, hidden = _texts(root)
    for text in hidden:
        yield Piece(f"{at}hidden text", text)
        yield LeftOut(Reason.HIDDEN_TEXT, name or "the page", text)
    lines = {" ".join(line.split()) for line in seen.split("\n")}
    yield Piece(name or "the page", seen)
    said = [(f"{at}title", title.text or "") for title in root.iter("title")]
    said += [(f"{at}alternative text", element.get("alt", "")) for element in root.iter("img", "area", "input")]
    for place, text in said:
        if " ".join(text.split()) not in lines:  # what the page says, too, readers need not say twice
            yield Piece(place, text)


def _texts(root: etree._Element) -> tuple[str, list[str]]:
    """The text that people see, and each text that is hidden. What is not part of a line has lines of its own."""
    seen: list[str] = []
    hidden: list[list[str]] = []
    outer: etree._Element | None = None  # the outermost element around that nobody sees
    parts = seen
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if event == "start":
            if outer is None and (element.tag in _UNSEEN or _is_hidden(element)):
                outer, parts = element, []
                if element.tag not in _UNSEEN:
                    hidden.append(parts)
            parts.append(_break(element) + (element.text or ""))
            continue
        parts.append(_break(element))
        if element is outer:
            outer, parts = None, seen
        parts.append(element.tail or "")
    return "".join(seen), ["".join(each) for each in hidden]


def _break(element: etree._Element) -> str:
    return "" if _INLINE.fullmatch(element.tag) else "\n"


def _is_hidden(element: etree._Element) -> bool:
    if "hidden" in element.attrib or element.get("aria-hidden", "").strip().lower() == "true":
        return True
    style = element.get("style")
    return style is not None and _HIDDEN_STYLE.search("".join(style.lower().split())) is not None


def _book(data: bytes) -> Iterator[Piece | LeftOut]:
    """The pages of a book in their order."""
    package = Package(data)
    container = package.xml("META-INF/container.xml")
    name = "" if container is None else next((root.get("full-path", "") for root in container.iter("{*}rootfile")), "")
    root = package.xml(name)
    if root is None:
        return
    yield Piece("title", "\n".join(title.text or "" for title in root.iter("{http://purl.org/dc/elements/1.1/}title")))
    pages = {item.get("id"): unquote(item.get("href", "")) for item in root.iter("{*}item")}
    for number, item in enumerate(root.iter("{*}itemref"), 1):
        page = posixpath.normpath(posixpath.join(posixpath.dirname(name), pages.get(item.get("idref"), "")))
        yield from page_texts(decode(package.read(page)).text, f"chapter {number}")
