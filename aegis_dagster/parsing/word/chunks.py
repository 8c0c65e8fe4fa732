"""Whole files that a Word file includes (`w:altChunk`): Word files, web pages and texts are read, others are named."""

import email
import email.policy
import posixpath
from collections.abc import Callable
from typing import Final

from lxml import etree, html

from aegis_dagster.parsing.word.names import Element, R, W, detach, new_paragraph, new_run, xml_text
from aegis_dagster.parsing.word.package import Package

_WORD: Final = (".docx", ".docm", ".dotx", ".dotm")
_PAGES: Final = (".html", ".htm", ".xhtml")
_MAILS: Final = (".mht", ".mhtml", ".eml")
_HIDDEN: Final = frozenset({"script", "style", "head", "template"})
_INLINE: Final = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "del", "em", "font", "i", "ins", "kbd", "label", "mark"}
    | {"q", "s", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var", "td", "th"}
)


def write_chunks(root: Element, package: Package, blocks_of_word: Callable[[bytes], list[Element]]) -> None:
    """Put the text of the included files in their places, that of each file once.

    `blocks_of_word` reads Word files; it may raise anything.
    """
    read: set[str] = set()
    for chunk in list(root.iter(W + "altChunk", W + "subDoc")):
        found = package.related(package.main).get(chunk.get(R + "id", ""))
        name = posixpath.basename(found.target) if found is not None else "without a name"
        named = f"[Embedded file: {xml_text(name)}]"
        if chunk.tag == W + "subDoc":  # of a master document: it stands in a paragraph, and its file elsewhere
            package.leave_unread(name)
            chunk.addprevious(new_run(named))
        else:
            is_new = found is not None and not found.external and found.target not in read
            blocks = _read(package, found.target, blocks_of_word) if found is not None and is_new else None
            if found is not None and blocks is not None:
                read.add(found.target)
            elif found is None or found.target not in read:
                package.leave_unread(name)
            for block in blocks or [new_paragraph(named)]:
                chunk.addprevious(block)
        detach(chunk)


def _read(package: Package, part: str, blocks_of_word: Callable[[bytes], list[Element]]) -> list[Element] | None:
    data = package.data(part)
    try:
        return _blocks(part, data, blocks_of_word) if data is not None else None
    except MemoryError:
        raise
    except Exception:  # of damaged files: zipfile, lxml and email raise errors of many classes
        return None


def _blocks(name: str, data: bytes, blocks_of_word: Callable[[bytes], list[Element]]) -> list[Element] | None:
    suffix = posixpath.splitext(name)[1].lower()
    texts = None
    if suffix in _WORD:
        return blocks_of_word(data)
    if suffix in _PAGES:
        texts = _paragraphs(data)
    elif suffix in _MAILS:
        page = email.message_from_bytes(data, policy=email.policy.default).get_body(("html", "plain"))
        content = page.get_content() if page is not None else None
        texts = _paragraphs(content.encode("utf-8", "replace"), "utf-8") if isinstance(content, str) else None
    elif suffix in (".txt", ".text"):
        texts = [line for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    return None if texts is None else [new_paragraph(xml_text(text)) for text in texts]


def _paragraphs(page: bytes, encoding: str | None = None) -> list[str]:
    """The text of a web page, a paragraph for each block."""
    try:
        root = html.document_fromstring(page, html.HTMLParser(encoding=encoding, huge_tree=False))
    except (etree.ParserError, etree.XMLSyntaxError):
        return []
    parts: list[str] = []
    for event, node in etree.iterwalk(root, events=("start", "end", "comment", "pi")):
        if not isinstance(node.tag, str):
            parts.append((node.tail or "") if event in ("comment", "pi") else "")
            continue
        if node.tag not in _INLINE:
            parts.append("\n")
        elif node.tag in ("td", "th"):
            parts.append(" ")
        if event == "start":
            parts.append("" if node.tag in _HIDDEN else " ".join((node.text or "").split("\n")))
        else:
            parts.append(" ".join((node.tail or "").split("\n")))
    lines = ("".join(parts)).split("\n")
    return [" ".join(line.split()) for line in lines if line.strip()]
