"""The text of Word files: the main part, notes, comments, headers and footers, charts, diagrams."""

from collections.abc import Iterator

from lxml import etree

from aegis_dagster.domain.left_out import LeftOut, Piece, Reason
from aegis_dagster.parsing.source_text.office import FALLBACK, Package, W, alternative_texts, chart_text, text_of

_DELETED = (f"{W}del", f"{W}moveFrom")
_WITHOUT = frozenset({FALLBACK, *_DELETED})
_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}docPr"
_NOTES = {"footnotes": "footnote", "endnotes": "endnote", "comments": "comment"}
_NAMES = {"chart": "chart", "diagramData": "diagram", "header": "header", "footer": "footer"}


def read(data: bytes, kind: str) -> Iterator[Piece | LeftOut]:
    """One piece for the main part and each of the others; one for each note. Equal headers and footers once."""
    package = Package(data)
    main = package.main()
    yield from _part(package, main, "body")
    furniture: set[str] = set()
    for name, (link, part) in _parts(package, main).items():
        if link in _NOTES:
            yield from _notes(package.xml(name), _NOTES[link])
        elif link in ("header", "footer"):
            for item in _part(package, part, link):
                if item.text not in furniture:
                    furniture.add(item.text)
                    yield item
        elif link == "chart":
            root = package.xml(part)
            yield Piece("chart", "" if root is None else chart_text(root))
        else:
            yield from _part(package, part, _NAMES[link])


def _parts(package: Package, main: str) -> dict[str, tuple[str, str]]:
    """The parts that the main part leads to, and those that its notes, headers and footers lead to."""
    found: dict[str, tuple[str, str]] = {}
    waiting = [main]
    while waiting:
        for link, part in package.links(waiting.pop()).values():
            if part not in found and (link in _NOTES or link in _NAMES):
                found[part] = (link, part)
                waiting.append(part)
    return found


def _part(package: Package, name: str, place: str) -> Iterator[Piece | LeftOut]:
    root = package.xml(name)
    if root is not None:
        yield from _text(root, place)


def _text(root: etree._Element, place: str) -> Iterator[Piece | LeftOut]:
    for row in [mark.getparent().getparent() for mark in root.iter(*_DELETED) if mark.getparent().tag == f"{W}trPr"]:
        row.tag = f"{W}del"  # a row that is deleted whole
    yield Piece(place, text_of(root, _WITHOUT))
    for text in alternative_texts(root, _DRAWING):
        yield Piece(f"{place}, alternative text", text)
    for element in root.iter(*_DELETED):
        words = "".join(part.text or "" for part in element.iter(f"{W}delText", f"{W}t"))
        yield LeftOut(Reason.DELETED_TEXT, place, words)


def _notes(root: etree._Element | None, place: str) -> Iterator[Piece | LeftOut]:
    """The notes, numbered as people see them: without the lines that separate them from the page."""
    notes = [] if root is None else [note for note in root if note.get(f"{W}type", "normal") == "normal"]
    for number, note in enumerate(notes, 1):
        yield from _text(note, f"{place} {number}")
