"""Reads OpenDocument text, spreadsheets, presentations and drawings: all that they show, in its order.

docling's reader loses headers and footers, comments, text boxes, alternative texts and the names of sheets, and keeps
text that was deleted under tracked changes.
"""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from aegis_dagster.domain.left_out import LeftOut, Reason
from aegis_dagster.parsing.markup.building import Builder
from aegis_dagster.parsing.readers import Parsed

if TYPE_CHECKING:
    from lxml import etree

    from aegis_dagster.parsing.opendocument.package import Package
    from aegis_dagster.parsing.opendocument.styles import Styles

_ROUTE: Final = "markup"
# They stand at a place in a paragraph without being part of its sentence; all other shapes of `draw:` do so too.
_LIFTED: Final = frozenset({"office:annotation", "text:note"})
_CHANGES: Final = frozenset({"text:tracked-changes", "table:tracked-changes"})
_DELETED: Final = frozenset({"text:deletion", "table:deletion", "table:cell-content-deletion", "table:previous"})
_NO_TEXT: Final = frozenset(
    {"office:change-info", "office:binary-data", "office:annotation-end", "office:scripts", "office:event-listeners"}
    | {"office:settings", "office:meta", "office:forms", "office:font-face-decls", "office:styles", "text:script"}
    | {"office:automatic-styles", "office:master-styles", "svg:title", "svg:desc", "table:table-source", "dc:creator"}
    | {"dc:date", "meta:creator-initials", "text:note-citation", "table:table-column", "draw:glue-point"}
)
_SPACES: Final = frozenset({"text:tab", "text:line-break"})
_MOST_DEPTH: Final = 3  # of objects in objects
_MOST_OBJECTS: Final = 500
_OWN_NAME = re.compile(r"page\d+|Slide \d+")


def read(data: bytes, *, name: str, kind: str, options: dict[str, Any]) -> Parsed:
    """The document of an OpenDocument file, as `readers.Reader` has it. Raises DocumentError CORRUPT_FILE."""
    from aegis_dagster.parsing.opendocument.package import Package
    from aegis_dagster.parsing.opendocument.styles import Styles

    package = Package(data)
    styles = Styles(package.content) if package.styles is package.content else Styles(package.content, package.styles)
    walk = Walk(Builder(name), package, styles, read_hidden=bool(options.get("read_hidden")))
    walk.document()
    damage = [f"Its part {part} is damaged and was not read." for part in package.damaged]
    return Parsed(walk.builder.document, _ROUTE, (*walk.warnings, *damage), tuple(walk.left_out))


class Walk:
    """One walk through a file, which adds what it finds to a builder."""

    def __init__(self, builder: Builder, package: "Package", styles: "Styles", *, read_hidden: bool) -> None:
        """read_hidden: hidden sheets, rows and columns are read, too."""
        from aegis_dagster.parsing.opendocument.package import attribute, odf_name

        self.builder = builder
        self.styles = styles
        self.read_hidden = read_hidden
        self.copies = 0  # of repeated cells
        self.warnings: list[str] = []
        self.left_out: list[LeftOut] = []
        self._package = package
        self._name, self._attribute = odf_name, attribute
        self._sink: Callable[[str], None] = builder.paragraph
        self.cell = ""  # whose text is read, in a spreadsheet: "B3"
        self._later: list[tuple[etree._Element, str]] = []
        self._lists = self._objects = self._opened = self._slides = 0
        self._titled = False

    def document(self) -> None:
        """Add the whole file: headers, what the body holds, footers."""
        masters = list(self.styles.masters())
        self._margins(masters, "style:header")
        self.flow(self._package.content)
        self._margins(masters, "style:footer")

    def flow(self, element: "etree._Element") -> None:
        """Add the blocks below an element."""
        if (element.text or "").strip():
            self._sink(element.text or "")
        for child in element:
            self._block(child)
            if (child.tail or "").strip():
                self._sink(child.tail or "")

    def _block(self, element: "etree._Element") -> None:
        from aegis_dagster.parsing.opendocument.sheets import add_table

        name = self._name(element)
        if not name or name in _NO_TEXT:
            return
        match name:
            case "text:p" | "text:h":
                self._paragraph(element, name)
            case "text:list":
                self._lists += 1
                self.flow(element)
                self._lists -= 1
            case "text:list-item" | "text:list-header":
                depth = self._lists
                self._into(lambda text: self.builder.item(text, depth=depth), element)
            case "table:table":
                add_table(self, element, of_sheet=self._name(_parent(element)) == "office:spreadsheet")
            case "draw:page":
                self._slide(element)
            case "math:math":
                self.builder.formula(self.text_of(element))
            case _ if name in _CHANGES:
                self._deletions(element)
            case _ if name in _LIFTED:
                self._note(element, name)
            case _ if name.startswith("draw:"):
                self._shape(element, name)
            case _:
                self.flow(element)

    def text_of(self, element: "etree._Element") -> str:
        """The text below an element, a line for each paragraph; notes and shapes in it are added by `lifted`."""
        if self._name(element) in ("text:p", "text:h"):
            return self._inline(element)
        lines = [element.text or ""]
        for child in element:
            if self._is_lifted(child):
                self._later.append((child, self.cell))
            elif self._name(child) and self._name(child) not in _NO_TEXT:
                lines.append(self.text_of(child))
            lines.append(child.tail or "")
        return "\n".join(line for line in lines if line.strip())

    def lifted(self) -> None:
        """Add the notes, comments and shapes that stood in the texts since the last call."""
        while self._later:
            waiting, self._later = self._later, []
            for element, self.cell in waiting:
                before, self._sink, lists, self._lists = self._sink, self.builder.paragraph, self._lists, 0
                self._block(element)
                self._sink, self._lists = before, lists
            self.cell = ""

    def leave_out(self, reason: Reason, place: str, element: "etree._Element") -> None:
        """Count the text below an element as left out."""
        text = "\n".join(line for line in (" ".join(piece.split()) for piece in element.itertext()) if line)
        if text:
            self.left_out.append(LeftOut(reason, place, text))

    def _paragraph(self, element: "etree._Element", name: str) -> None:
        text = self._inline(element)
        if name == "text:h":
            level = self._attribute(element, "text:outline-level")
            self.builder.heading(" ".join(text.split()), int(level) if level.isdecimal() and len(level) < 4 else 1)
        elif not self._titled and self.styles.is_title(element):
            self._titled = True
            self.builder.title(" ".join(text.split()))
        else:
            self._sink(text)
        self.lifted()

    def _inline(self, element: "etree._Element") -> str:
        return "".join(self._pieces(element))

    def _pieces(self, element: "etree._Element") -> Iterator[str]:
        from aegis_dagster.parsing.markup.xml_trees import entity_text

        yield element.text or ""
        for child in element:
            name = self._name(child)
            if self._is_lifted(child):
                self._later.append((child, self.cell))
            elif name == "text:s":
                count = self._attribute(child, "text:c")
                yield " " * (int(count) if count.isdecimal() and len(count) < 4 else 1)
            elif name in _SPACES:
                yield "\n" if name == "text:line-break" else "\t"
            elif name == "text:span" and self.styles.hides("text", self._attribute(child, "text:style-name")):
                self.leave_out(Reason.HIDDEN_TEXT, "hidden text", child)
            elif name and name not in _NO_TEXT:
                yield from self._pieces(child)
            else:
                yield entity_text(child)
            yield child.tail or ""

    def _is_lifted(self, element: "etree._Element") -> bool:
        name = self._name(element)
        return name in _LIFTED or (name.startswith("draw:") and name != "draw:a")

    def _into(self, sink: Callable[[str], None], element: "etree._Element") -> None:
        before, self._sink = self._sink, sink
        self.flow(element)
        self._sink = before

    def _note(self, element: "etree._Element", name: str) -> None:
        if name == "text:note":
            mark = next((part.text or "" for part in element if self._name(part) == "text:note-citation"), "")
            self.builder.footnote(f"{mark} {self.text_of(element)}")
        else:
            author = next((part.text or "" for part in element if self._name(part) == "dc:creator"), "")
            of, by = f" at {self.cell}" if self.cell else "", f" by {author}" if author else ""
            self.builder.paragraph(f"Comment{of}{by}: {self.text_of(element)}")
        self.lifted()

    def _deletions(self, element: "etree._Element") -> None:
        for part in element.iter():
            if self._name(part) in _DELETED:
                for child in part:
                    if self._name(child) not in _NO_TEXT:
                        self.leave_out(Reason.DELETED_TEXT, "tracked changes", child)

    def _shape(self, element: "etree._Element", name: str) -> None:
        said = [part.text or "" for part in element if self._name(part) in ("svg:title", "svg:desc")]
        images = (self._package.picture(part) for part in element if self._name(part) == "draw:image")
        image = next((found for found in images if found is not None), None)
        if image is not None or any(said):
            self.builder.picture(image, "\n".join(said))
        if name == "draw:object":
            self._object(element)
        self._into(self.builder.paragraph, element)

    def _object(self, element: "etree._Element") -> None:
        """A chart, a formula or a sheet with a part of its own."""
        place = self._attribute(element, "xlink:href").removeprefix("./")
        if not place or self._objects >= _MOST_DEPTH:
            return
        self._opened += 1
        if self._opened == _MOST_OBJECTS:
            self.warnings.append(f"Of its embedded objects the first {_MOST_OBJECTS - 1} were read.")
        inner = self._package.part(f"{place}/content.xml") if self._opened < _MOST_OBJECTS else None
        if inner is not None:
            self._objects += 1
            self._block(inner)
            self._objects -= 1

    def _slide(self, slide: "etree._Element") -> None:
        self._slides += 1
        self.builder.page(self._slides, *self.styles.slide_size(self._attribute(slide, "draw:master-page-name")))
        shapes = [part for part in slide if self._attribute(part, "presentation:class") == "title"]
        title, name = shapes[:1], self._attribute(slide, "draw:name")
        if title and (text := self.text_of(title[0])):
            self.builder.heading(" ".join(text.split()), 1)
        elif name and not _OWN_NAME.fullmatch(name):
            self.builder.heading(name, 1)
        self.lifted()
        for part in slide:
            if part not in title:
                self._block(part)

    def _margins(self, masters: "list[etree._Element]", kind: str) -> None:
        """The different headers or footers, each once."""
        parts = [part for master in masters for part in master if self._name(part).startswith(kind)]
        texts = dict.fromkeys(self.text_of(part) for part in parts)
        for text in texts:
            self.builder.paragraph(text)
        self.lifted()


def _parent(element: "etree._Element") -> "etree._Element":
    parent = element.getparent()
    return element if parent is None else parent
