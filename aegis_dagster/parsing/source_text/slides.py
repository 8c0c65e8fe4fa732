"""The text of presentations: slides, their notes, comments, diagrams, charts, alternative texts."""

from collections.abc import Iterator

from aegis_dagster.domain.left_out import Piece
from aegis_dagster.parsing.source_text.office import A, Package, R, alternative_texts, chart_text, text_of

_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_PARTS = {
    "notesSlide": "notes",
    "comments": "comments",
    "diagramData": "diagram",
    "chart": "chart",
}


def read(data: bytes, kind: str) -> Iterator[Piece]:
    """One piece for each slide, and for each part that it leads to, in the order of the presentation."""
    package = Package(data)
    main = package.main()
    root = package.xml(main)
    links = package.links(main)
    slides = [] if root is None else [links.get(slide.get(f"{R}id", "")) for slide in root.iter(f"{_P}sldId")]
    for number, link in enumerate(slides, 1):
        if link is None:
            continue
        yield from _part(package, link[1], f"slide {number}")
        for kind_of_part, part in package.links(link[1]).values():
            if kind_of_part in _PARTS:
                yield from _part(package, part, f"slide {number} {_PARTS[kind_of_part]}")


def _part(package: Package, name: str, place: str) -> Iterator[Piece]:
    root = package.xml(name)
    if root is None:
        return
    for field in list(root.iter(f"{A}fld")):
        if field.get("type", "") == "slidenum":
            field.clear()
    yield Piece(place, chart_text(root) if place.endswith("chart") else text_of(root))
    legacy = "\n".join(element.text or "" for element in root.iter(f"{_P}text"))
    yield Piece(place, legacy)
    for text in alternative_texts(root, f"{_P}cNvPr"):
        yield Piece(f"{place}, alternative text", text)
