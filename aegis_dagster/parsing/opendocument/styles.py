"""What the styles of an OpenDocument file say about its text: what is hidden, which paragraph is the title.

Imports lxml: load it in a worker.
"""

import re
from collections.abc import Iterator

from lxml import etree

from aegis_dagster.parsing.opendocument.package import attribute, odf_name

_POINTS = {"cm": 72 / 2.54, "mm": 72 / 25.4, "in": 72.0, "pt": 1.0}
_LENGTH = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)(cm|mm|in|pt)")
_SLIDE = (720.0, 540.0)  # points
_ANCESTORS = 20  # of a style, before its chain is taken for a circle


class Styles:
    """The styles of one file, by family and name."""

    def __init__(self, *trees: etree._Element) -> None:
        self._styles: dict[tuple[str, str], etree._Element] = {}
        self._pages: dict[str, etree._Element] = {}
        self._masters: dict[str, etree._Element] = {}
        for element in (element for tree in trees for element in tree.iter()):
            match odf_name(element):
                case "style:style":
                    named = attribute(element, "style:family"), attribute(element, "style:name")
                    self._styles.setdefault(named, element)
                case "style:page-layout":
                    self._pages.setdefault(attribute(element, "style:name"), element)
                case "style:master-page":
                    self._masters.setdefault(attribute(element, "style:name"), element)

    def is_title(self, paragraph: etree._Element) -> bool:
        """Whether the paragraph has the style for titles, or one made from it."""
        name = attribute(paragraph, "text:style-name")
        return "Title" in (name, *(attribute(style, "style:parent-style-name") for style in self._chain(name)))

    def hides(self, family: str, name: str) -> bool:
        """Whether a sheet or a text of this style is not shown."""
        style = self._styles.get((family, name))
        properties = {odf_name(part): part for part in style} if style is not None else {}
        table, text = properties.get("style:table-properties"), properties.get("style:text-properties")
        return (table is not None and attribute(table, "table:display") == "false") or (
            text is not None and attribute(text, "text:display") == "none"
        )

    def slide_size(self, master: str) -> tuple[float, float]:
        """Width and height in points of the slides of a master."""
        page = self._masters.get(master)
        layout = None if page is None else self._pages.get(attribute(page, "style:page-layout-name"))
        for part in layout if layout is not None else ():
            width, height = (_points(attribute(part, f"fo:page-{side}")) for side in ("width", "height"))
            if width and height:
                return width, height
        return _SLIDE

    def masters(self) -> Iterator[etree._Element]:
        """Every master page."""
        yield from self._masters.values()

    def _chain(self, name: str) -> Iterator[etree._Element]:
        for _ in range(_ANCESTORS):
            style = self._styles.get(("paragraph", name))
            if style is None:
                return
            yield style
            name = attribute(style, "style:parent-style-name")


def _points(length: str) -> float:
    match = _LENGTH.fullmatch(length)
    return float(match[1]) * _POINTS[match[2]] if match else 0.0
