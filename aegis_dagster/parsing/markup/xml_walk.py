"""Turns XML into a document by what its elements are: blocks, headings, items, tables; the rest is text in its block.

A vocabulary says what the elements are. An element that it does not name is part of the block around it, so that no
text can be lost for want of a name. Imports lxml: load it in a worker.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from lxml import etree

from aegis_dagster.parsing.markup.building import Builder, Cell, clean
from aegis_dagster.parsing.markup.xml_trees import entity_text, local_name


class Role(Enum):
    """What an element is."""

    INLINE = auto()
    BLOCK = auto()
    TITLE = auto()  # of the document
    SECTION = auto()
    HEADING = auto()  # of the section around it
    LIST = auto()
    ITEM = auto()
    CAPTION = auto()
    CODE = auto()
    FORMULA = auto()
    NOTE = auto()  # stands after the block that cites it
    TABLE = auto()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the elements of a kind of XML are, by their names.

    roles: by name, or by the parent's name, "/" and the name.
    sections: headings of sections that have none of their own, by the section's name.
    hrefs: elements that name a file.
    """

    roles: Mapping[str, Role]
    sections: Mapping[str, str] = field(default_factory=dict)
    hrefs: frozenset[str] = frozenset()


# They change the look of a part of a word: no space belongs between them.
_LOOKS: Final = frozenset(
    {"italic", "bold", "sub", "sup", "sc", "underline", "b", "i", "u", "o", "emphasis", "subscript", "superscript"}
    | {"monospace", "smallcaps", "roman", "sansserif", "strike", "overline", "styled-content", "named-content"}
)
_BREAKS: Final = frozenset({"break", "br"})
_ROWS: Final = frozenset({"tr", "row"})
_CELLS: Final = frozenset({"td", "th", "entry"})
_HEAD: Final = frozenset({"thead"})
_LONGEST_LABEL: Final = 16  # characters


class Walk:
    """One walk through a tree, which adds what it finds to a builder."""

    def __init__(self, builder: Builder, vocabulary: Vocabulary) -> None:
        self._builder = builder
        self._words = vocabulary
        self._run: list[str] = []
        self._notes: list[str] = []
        self._sink: Callable[[str], None] = builder.paragraph
        self._depth = 0  # of sections
        self._lists = 0

    def document(self, root: etree._Element) -> None:
        """Add the whole tree."""
        self._visit(root)
        self._flush()

    def _visit(self, element: etree._Element) -> None:
        name = local_name(element)
        if not name or name in _BREAKS:
            self._run.append(" " if name else entity_text(element))
            return
        match self._role(element, name):
            case Role.INLINE:
                self._contents(element, name)
            case Role.BLOCK:
                self._block(element, name, self._sink)
            case Role.TITLE:
                self._block(element, name, self._builder.title)
            case Role.HEADING:
                level = element.get("level", "")
                depth = int(level) if level.isascii() and level.isdecimal() and len(level) < 3 else self._depth
                self._block(element, name, lambda text: self._builder.heading(text, depth), label=self._label())
            case Role.SECTION:
                self._section(element, name)
            case Role.LIST:
                self._flush()
                self._lists += 1
                self._contents(element, name)
                self._flush()
                self._lists -= 1
            case Role.ITEM:
                depth = max(self._lists, 1)
                self._block(element, name, lambda text: self._builder.item(text, depth=depth))
            case Role.CAPTION:
                self._block(element, name, self._builder.caption)
            case Role.FORMULA:
                self._block(element, name, self._builder.formula)
            case Role.CODE:
                self._flush()
                self._builder.code("".join(element.itertext()))
            case Role.NOTE:
                self._notes.append(self._text_of(element))
            case Role.TABLE:
                self._flush()
                self._table(element)

    def _role(self, element: etree._Element, name: str) -> Role:
        parent = element.getparent()
        above = local_name(parent) if parent is not None else ""
        roles = self._words.roles
        return roles.get(f"{above}/{name}") or roles.get(name, Role.INLINE)

    def _contents(self, element: etree._Element, name: str) -> None:
        apart = not (element.text or "").strip() and not any((child.tail or "").strip() for child in element)
        if name in self._words.hrefs:
            self._run.extend(f" {value} " for key, value in element.attrib.items() if str(key).endswith("href"))
        self._run.append(element.text or "")
        for child in element:
            if apart and local_name(child) not in _LOOKS:
                self._run.append(" ")
            self._visit(child)
            self._run.append(child.tail or "")

    def _label(self) -> str:
        """What stands before a heading in its section, if it is short: its number."""
        text = " ".join("".join(self._run).split())
        if len(text) > _LONGEST_LABEL or self._notes:
            return ""
        self._run = []
        return text

    def _block(self, element: etree._Element, name: str, sink: Callable[[str], None], label: str = "") -> None:
        self._flush()
        self._run = [label, " "] if label else []
        before, self._sink = self._sink, sink
        self._contents(element, name)
        self._flush()
        self._sink = before

    def _section(self, element: etree._Element, name: str) -> None:
        self._flush()
        self._depth += 1
        titled = any(self._role(child, local_name(child)) in (Role.HEADING, Role.TITLE) for child in element)
        if name in self._words.sections and not titled:
            self._builder.heading(self._words.sections[name], self._depth)
        self._contents(element, name)
        self._flush()
        self._depth -= 1

    def _flush(self) -> None:
        # The breaks of the lines in the file mean nothing.
        text, notes = " ".join("".join(self._run).split()), self._notes
        self._run, self._notes = [], []
        if text:
            self._sink(text)
        for note in notes:
            self._builder.footnote(note)

    def _text_of(self, element: etree._Element) -> str:
        """All text of an element as one line."""
        return " ".join("".join(_pieces(element, self._words.roles)).split())

    def _table(self, table: etree._Element) -> None:
        columns = {
            spec.get("colname", ""): number
            for number, spec in enumerate(e for e in table.iter() if local_name(e) == "colspec")
        }
        rows: list[list[Cell]] = []
        beside: list[str] = []
        for part in _outermost(table, _ROWS):
            if local_name(part) in _ROWS:
                in_head = any(local_name(above) in _HEAD for above in part.iterancestors())
                rows.append([self._cell(cell, columns, in_head) for cell in part if local_name(cell) in _CELLS])
                loose = [cell for cell in part if local_name(cell) not in _CELLS]
                beside.extend(self._text_of(cell) for cell in loose if local_name(cell))
                beside.append(" ".join([part.text or "", *(child.tail or "" for child in part)]))
            else:
                beside.append(entity_text(part) or (part.text or "" if local_name(part) else ""))
            beside.append(part.tail or "")
        self._builder.table(rows, clean(" ".join(beside).replace("\n", " ")))

    def _cell(self, cell: etree._Element, columns: Mapping[str, int], in_head: bool) -> Cell:
        first, last = columns.get(cell.get("namest", "")), columns.get(cell.get("nameend", ""))
        wide = last - first + 1 if first is not None and last is not None else _number(cell.get("colspan"), 1)
        high = _number(cell.get("rowspan"), _number(cell.get("morerows"), 0) + 1)
        return Cell(self._text_of(cell), high, wide, in_head or local_name(cell) == "th")


def _outermost(table: etree._Element, names: frozenset[str]) -> Iterator[etree._Element]:
    """The descendants in order; those below an element of these names are left to whoever takes it."""
    for child in table:
        yield child
        if local_name(child) not in names:
            yield from _outermost(child, names)


def _pieces(element: etree._Element, roles: Mapping[str, Role]) -> Iterator[str]:
    yield entity_text(element) or (element.text or "" if local_name(element) else "")
    apart = not (element.text or "").strip() and not any((child.tail or "").strip() for child in element)
    for child in element:
        name = local_name(child)
        space = (
            " "
            if (apart and name not in _LOOKS) or roles.get(name, Role.INLINE) is not Role.INLINE or name in _BREAKS
            else ""
        )
        yield space
        yield from _pieces(child, roles)
        yield space
        yield child.tail or ""


def _number(value: str | None, default: int) -> int:
    return int(value) if value and value.isascii() and value.isdecimal() and len(value) < 6 else default
