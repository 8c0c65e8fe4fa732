"""Whole files that a Word file includes (`w:altChunk`): web pages and plain texts are read, others are named."""

import email
import email.policy
import posixpath
from typing import Final

from lxml import etree, html

from aegis_dagster.parsing.word_names import Element, R, W, detach, new_paragraph, xml_text
from aegis_dagster.parsing.word_package import Package

_PAGES: Final = (".html", ".htm", ".xhtml")
_MAILS: Final = (".mht", ".mhtml", ".eml")
_HIDDEN: Final = frozenset({"script", "style", "head", "template"})
_INLINE: Final = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "del", "em", "font", "i", "ins", "kbd", "label", "mark"}
    | {"q", "s", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var", "td", "th"}
)


def write_chunks(root: Element, package: Package) -> None:
    """Put the text of the included files in their places."""
    for chunk in list(root.iter(W + "altChunk", W + "subDoc")):
        found = package.related(package.main).get(chunk.get(R + "id", ""))
        name = posixpath.basename(found.target) if found is not None else "without a name"
        texts = None if found is None or found.external else _texts(package, found.target)
        if texts is None:
            package.leave_unread(name)
            texts = [f"[Embedded file: {name}]"]
        if chunk.tag == W + "altChunk":
            for text in texts:
                chunk.addprevious(new_paragraph(xml_text(text)))
        detach(chunk)


def _texts(package: Package, part: str) -> list[str] | None:
    suffix = posixpath.splitext(part)[1].lower()
    data = package.data(part)
    if data is None:
        return None
    if suffix in _PAGES:
        return _paragraphs(data)
    if suffix in _MAILS:
        page = email.message_from_bytes(data, policy=email.policy.default).get_body(("html", "plain"))
        content = page.get_content() if page is not None else None
        return _paragraphs(content.encode("utf-8", "replace"), "utf-8") if isinstance(content, str) else None
    if suffix in (".txt", ".text"):
        return [line for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    return None


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
