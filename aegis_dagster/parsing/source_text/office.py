"""The parts of files that are ZIP archives, and the links between those of office files."""

import io
import posixpath
import re
import unicodedata
import zipfile
from collections.abc import Iterator
from typing import Final

from lxml import etree

from aegis_dagster.parsing.unpacking import UNREADABLE_PART

W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
A: Final = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
C: Final = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
M: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
R: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
FALLBACK: Final = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # shown instead of a choice
_STRICT: Final = b"http://purl.oclc.org/ooxml/"
_TRANSITIONAL: Final = {
    b"http://purl.oclc.org/ooxml/wordprocessingml/main": W,
    b"http://purl.oclc.org/ooxml/spreadsheetml/main": "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}",
    b"http://purl.oclc.org/ooxml/presentationml/main": "{http://schemas.openxmlformats.org/presentationml/2006/main}",
    b"http://purl.oclc.org/ooxml/drawingml/main": A,
    b"http://purl.oclc.org/ooxml/drawingml/chart": C,
    b"http://purl.oclc.org/ooxml/officeDocument/math": M,
    b"http://purl.oclc.org/ooxml/officeDocument/relationships": R,
}
_BREAKS: Final = {f"{W}{name}" for name in ("p", "tab", "br", "cr", "tc", "ptab")} | {f"{A}p", f"{A}br", f"{A}tab"}
_TEXTS: Final = {f"{W}t", f"{A}t"}
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_FILE_NAME: Final = re.compile(r"[^\s/\\]+\.(?:png|jpe?g|gif|bmp|tiff?|emf|wmf|svg|webp)", re.IGNORECASE)


class Package:
    """A file of parts, each with a name; in office files parts link to each other.

    A part is read once, however many others lead to it: a small file may name a large part thousands of times.
    """

    def __init__(self, data: bytes) -> None:
        self._archive = zipfile.ZipFile(io.BytesIO(data))
        self._links: dict[str, dict[str, tuple[str, str]]] = {}
        self._unread = set(self._archive.namelist())

    def read(self, name: str) -> bytes:
        """The bytes of a part; none if it is missing, damaged, or was read before."""
        if name not in self._unread:
            return b""
        self._unread.remove(name)
        try:
            return self._archive.read(name)
        except UNREADABLE_PART:
            return b""

    def xml(self, name: str) -> etree._Element | None:
        """The root of a part; None if nothing of it can be read."""
        content = self.read(name)
        if _STRICT in content[:4096]:
            for strict, namespace in _TRANSITIONAL.items():
                content = content.replace(strict, namespace[1:-1].encode())
        return root_of(content)

    def links(self, name: str) -> dict[str, tuple[str, str]]:
        """Of each link of a part, by its id: the last word of its type, and the part that it leads to."""
        if name not in self._links:
            folder, base = posixpath.split(name)
            root = self.xml(posixpath.join(folder, "_rels", f"{base}.rels"))
            self._links[name] = {
                link.get("Id", ""): (link.get("Type", "").rpartition("/")[2], _target(folder, link.get("Target", "")))
                for link in (() if root is None else root.iter("{*}Relationship"))
                if link.get("TargetMode") != "External"
            }
        return self._links[name]

    def linked(self, name: str, *kinds: str) -> list[str]:
        """The parts of these types that a part leads to, each once."""
        return list(dict.fromkeys(part for kind, part in self.links(name).values() if kind in kinds))

    def main(self) -> str:
        """The name of the main part."""
        return next(iter(self.linked("", "officeDocument")), "")


def root_of(content: bytes) -> etree._Element | None:
    """The root of XML that is read as far as it can be, and with nothing from elsewhere; None if there is none."""
    reading = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False, recover=True)
    try:
        return etree.fromstring(content, reading)
    except etree.XMLSyntaxError:
        return None


def _target(folder: str, target: str) -> str:
    return target.lstrip("/") if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))


def text_of(root: etree._Element, without: frozenset[str] = frozenset({FALLBACK})) -> str:
    """The text of all text elements, paragraphs on lines of their own; nothing of the elements `without`."""
    parts: list[str] = []
    skipped = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = element.tag
        if tag in without:
            skipped += 1 if event == "start" else -1
        elif skipped:
            continue
        elif tag in _BREAKS:
            parts.append("\n")
        elif event == "start" and tag in _TEXTS:
            parts.append(element.text or "")
        elif event == "start" and tag == f"{M}t":
            parts.append(_formula(element.text or ""))
    return "".join(parts)


def _formula(text: str) -> str:
    """The letters and digits of a formula, apart from each other: readers write its other signs in many ways."""
    return f" {_NOT_ASCII.sub(' ', unicodedata.normalize('NFKC', text))} "


def chart_text(root: etree._Element) -> str:
    """The titles of a chart, and the names and values that it shows, those of each range of cells once."""
    ranges: dict[str, list[str]] = {}
    for values in root.iter(f"{C}strRef", f"{C}numRef"):
        shown = [value.text or "" for value in values.iter(f"{C}v")]
        ranges.setdefault(values.findtext(f"{C}f", "") or " ".join(shown), shown)
    return "\n".join([text_of(root), *(value for shown in ranges.values() for value in shown)])


def alternative_texts(root: etree._Element, *tags: str) -> Iterator[str]:
    """The alternative texts of drawings, without the names of files that programs put in their place."""
    for element in root.iter(*tags):
        text = element.get("descr", "").strip()
        if (
            text
            and not _FILE_NAME.fullmatch(text)
            and not any(child.get("val") in ("1", "true") for child in element.iter("{*}decorative"))
        ):
            yield text
