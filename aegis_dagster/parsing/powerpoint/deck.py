"""A presentation's parts, rewritten for docling's reader.

Slides in their order, comments, notes, texts that masters and layouts add; templates, slide shows and the strict
edition as ordinary presentations; damaged parts replaced by what is left of them, with a warning.
"""

import io
import posixpath
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from aegis_dagster.domain.left_out import LeftOut, Reason
from aegis_dagster.parsing.checks import corrupt
from aegis_dagster.parsing.office.drawing_text import body_text
from aegis_dagster.parsing.office.office_package import (
    DamagedPart,
    OfficePackage,
    Relation,
    local_name,
    parse_xml,
    relation_id,
)
from aegis_dagster.parsing.powerpoint.shapes import P, ShapeRewriter, add_lines, standing_texts

_TYPES: Final = "[Content_Types].xml"
_MAIN_TYPE: Final = "application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"
_SLIDE_TYPE: Final = "application/vnd.openxmlformats-officedocument.presentationml.slide+xml"
# The parts that python-pptx parses at once, and stops at if they are damaged.
_PARSED: Final = re.compile(r"ppt/(slides|slideLayouts|slideMasters|notesSlides|notesMasters|charts)/[^/]+\.xml", re.I)
_STRICT: Final = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/(\w+)")
_BLANK: Final = (
    f'<p:sld xmlns:p="{P}"><p:cSld><p:spTree><p:nvGrpSpPr/><p:grpSpPr/></p:spTree></p:cSld></p:sld>'.encode()
)


@dataclass(slots=True)
class Slide:
    """A slide, and what is said about it."""

    part: str
    notes: list[str] = field(default_factory=list)  # its comments, and what its page of notes adds


class Deck:
    """A presentation. `slides`, `warnings` and `left_out` are complete once it is rewritten."""

    def __init__(self, data: bytes, *, read_hidden: bool) -> None:
        self.slides: list[Slide] = []
        self.warnings: list[str] = []
        self.left_out: list[LeftOut] = []
        self._package = OfficePackage(data)
        self._read_hidden = read_hidden
        self._changed: dict[str, bytes] = {}
        self._main = self._package.main_part("ppt/presentation.xml")
        self._running: set[str] = set()  # footers and the like that are read already
        self._standing: dict[str, str] = {}  # layouts and masters that are read already; whether those show masters

    def rewritten(self) -> bytes:
        """The presentation for docling's reader. Raises DocumentError CORRUPT_FILE if it does not list its slides."""
        try:
            root = self._xml(self._main)
        except DamagedPart as error:
            raise corrupt("its list of slides cannot be read.") from error
        authors = dict(self._authors())
        links = self._package.relations(self._main)
        for number, entry in enumerate(list(root.iterfind("{*}sldIdLst/{*}sldId")), 1):
            relation = links.get(relation_id(entry))
            if relation is None or relation.external:
                self.warnings.append(f"Slide {number} is missing in the file.")
                entry.getparent().remove(entry)
                continue
            self.slides.append(slide := Slide(relation.target))
            self._rewrite_slide(slide, number, authors)
        self._changed[self._main] = etree.tostring(root)
        self._rewrite_types()
        return self._packed()

    def plain_texts(self, slide: Slide) -> Iterator[tuple[bool, str]]:
        """The texts of a rewritten slide and its notes, shape by shape, each with whether it is the title."""
        for part in (slide.part, *self._package.related(slide.part, "notesSlide")):
            if part not in self._changed:
                continue
            tree = parse_xml(self._changed[part], part, recover=True).find("{*}cSld/{*}spTree")
            for shape in tree if tree is not None else ():
                kind = shape.find("{*}nvSpPr/{*}nvPr/{*}ph")
                title = kind is not None and kind.get("type") in ("title", "ctrTitle")
                if (title or part == slide.part or (kind is not None and kind.get("type") == "body")) and body_text(
                    shape
                ):
                    yield title, body_text(shape)

    def _content(self, part: str) -> bytes:
        data = self._package.read(part)
        if part.endswith((".xml", ".rels")) and b"purl.oclc.org/ooxml" in data:
            return _STRICT.sub(rb"http://schemas.openxmlformats.org/\1/2006/\2", data)
        return data

    def _xml(self, part: str) -> etree._Element:
        """The root of a part, of a damaged one what is left. Raises DamagedPart if there is nothing."""
        content = self._content(part)
        try:
            return parse_xml(content, part)
        except DamagedPart:
            root = parse_xml(content, part, recover=True)
            self.warnings.append(f"The part {part} is damaged: some of its text may be missing.")
            return root

    def _rewrite_slide(self, slide: Slide, number: int, authors: dict[str, str]) -> None:
        try:
            root = self._xml(slide.part)
        except DamagedPart:
            self.warnings.append(f"Slide {number} could not be read.")
            root = parse_xml(_BLANK, slide.part)
        place = f"slide {number}"
        links = self._package.relations(slide.part)
        shapes = ShapeRewriter(self._package, slide.part, place, self._read_hidden, self._running)
        tree = root.find("{*}cSld/{*}spTree")
        hidden = root.get("show") in ("0", "false") and not self._read_hidden
        dropped = {"comments"} | ({"notesSlide"} if hidden else set())
        comments = list(self._comments(links, authors, place))
        if tree is not None and hidden:
            self._leave_out(tree, place, links, comments)
        elif tree is not None:
            shapes.rewrite(tree)
            add_lines(tree, self._standing_texts(root, slide.part))
            slide.notes = comments
            slide.notes += [text for part in _targets(links, "notesSlide") for text in self._notes(part, place)]
        root.attrib.pop("show", None)
        self.warnings += shapes.warnings
        self.left_out += shapes.left_out
        self._changed[slide.part] = etree.tostring(root)
        self._drop_relations(slide.part, dropped)

    def _leave_out(self, tree: etree._Element, place: str, links: dict[str, Relation], comments: list[str]) -> None:
        """Empty a hidden slide, and list what stood on it, in its notes, charts, diagrams and comments."""
        texts = [body_text(tree)]
        texts += [item.get("descr", "") for item in tree.iter("{*}cNvPr") if item.get("descr")]
        for relation in links.values():
            if relation.kind in ("notesSlide", "diagramData", "chart", "chartEx"):
                try:
                    root = self._xml(relation.target)
                except DamagedPart:
                    continue
                texts.append(body_text(root))
                texts += [value.text or "" for value in root.iter("{*}v", "{*}pt") if not len(value)]
        self.left_out.append(LeftOut(Reason.HIDDEN_SLIDE, place, "\n".join(filter(None, [*texts, *comments]))))
        for shape in list(tree):
            if local_name(shape) not in ("nvGrpSpPr", "grpSpPr"):
                tree.remove(shape)

    def _notes(self, part: str, place: str) -> Iterator[str]:
        """What a page of notes holds beside the notes, which docling reads once their breaks are spaces."""
        try:
            root = self._xml(part)
        except DamagedPart:
            self.warnings.append(f"The notes of {place} could not be read.")
            return
        shapes = ShapeRewriter(self._package, part, f"{place}, notes", self._read_hidden, self._running)
        tree = root.find("{*}cSld/{*}spTree")
        if tree is not None:
            shapes.rewrite(tree)
            for body in tree.iterfind(".//{*}sp"):
                kind = body.find("{*}nvSpPr/{*}nvPr/{*}ph")
                if kind is None or kind.get("type", "obj") != "body":
                    yield from filter(None, [body_text(body)])
        self.left_out += shapes.left_out
        self._changed[part] = etree.tostring(root)

    def _standing_texts(self, root: etree._Element, slide: str) -> Iterator[str]:
        """The texts that a layout and a master show on their slides, at the first of these slides."""
        part, shows = slide, root.get("showMasterSp")
        for kind in ("slideLayout", "slideMaster"):
            part = next(iter(self._package.related(part, kind)), "")
            if not part or shows in ("0", "false"):
                return
            if part not in self._standing:
                texts, shows = self._read_standing(part)
                self._standing[part] = shows
                yield from (text for text in texts if text not in self._running)
                self._running.update(texts)
            shows = self._standing[part]

    def _read_standing(self, part: str) -> tuple[list[str], str]:
        try:
            root = self._xml(part)
        except DamagedPart:
            return [], ""
        return list(standing_texts(root)), root.get("showMasterSp", "")

    def _authors(self) -> Iterator[tuple[str, str]]:
        for kind in ("commentAuthors", "authors"):
            for part in self._package.related(self._main, kind):
                try:
                    for author in self._xml(part):
                        yield author.get("id", ""), author.get("name", "")
                except DamagedPart:
                    self.warnings.append("The names of the authors of comments could not be read.")

    def _comments(self, links: dict[str, Relation], authors: dict[str, str], place: str) -> Iterator[str]:
        for part in _targets(links, "comments"):
            try:
                root = self._xml(part)
            except DamagedPart:
                self.warnings.append(f"The comments on {place} could not be read.")
                continue
            for comment in root.iter("{*}cm", "{*}reply"):
                body = comment.find("{*}txBody")
                text = body_text(body) if body is not None else " ".join(comment.findtext("{*}text", "").split())
                author = authors.get(comment.get("authorId", ""), "")
                day = comment.get("dt", comment.get("created", "")).partition("T")[0]
                if text:
                    yield "Comment" + (f" by {author}" if author else "") + (f" on {day}" if day else "") + f": {text}"

    def _drop_relations(self, part: str, kinds: set[str]) -> None:
        folder, name = posixpath.split(part)
        listing = posixpath.join(folder, "_rels", f"{name}.rels")
        try:
            root = self._xml(listing)
        except DamagedPart:
            return
        for relation in list(root):
            if relation.get("Type", "").rpartition("/")[2] in kinds:
                root.remove(relation)
        self._changed[listing] = etree.tostring(root)

    def _rewrite_types(self) -> None:
        """Call the presentation one, whatever kind of it this is, and its slides slides."""
        try:
            root = self._xml(_TYPES)
        except DamagedPart as error:
            raise corrupt("its list of parts cannot be read.") from error
        wanted = {f"/{slide.part}": _SLIDE_TYPE for slide in self.slides} | {f"/{self._main}": _MAIN_TYPE}
        for override in root.iterfind("{*}Override"):
            if (kind := wanted.pop(override.get("PartName", ""), None)) is not None:
                override.set("ContentType", kind)
        for name, kind in wanted.items():
            etree.SubElement(root, root.tag.replace("}Types", "}Override"), PartName=name, ContentType=kind)
        self._changed[_TYPES] = etree.tostring(root)

    def _packed(self) -> bytes:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
            for part in dict.fromkeys((*self._package, *self._changed)):
                content = self._changed.get(part)
                try:
                    if content is None and _PARSED.fullmatch(part):
                        content = self._sound(part)
                    archive.writestr(zipfile.ZipInfo(part), self._content(part) if content is None else content)
                except DamagedPart:
                    self.warnings.append(f"The part {part} could not be read.")
        return made.getvalue()

    def _sound(self, part: str) -> bytes:
        """A part that can be parsed. Raises DamagedPart."""
        known = len(self.warnings)
        root = self._xml(part)
        return self._content(part) if len(self.warnings) == known else etree.tostring(root)


def _targets(links: dict[str, Relation], kind: str) -> list[str]:
    return [relation.target for relation in links.values() if relation.kind == kind and not relation.external]
