"""The numbers that Word computes for numbered paragraphs: multi-level, continued, restarted, with their own formats.

docling knows which paragraphs are lists and headings, this module how their numbers look. So the number travels inside
the text, between two marks, and is taken out of docling's document again (`take_numbers`).
"""

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from lxml import etree

from aegis_dagster.parsing.word.names import P_PR, TABLE, VAL, Element, P, T, W, is_on, number, parent_of
from aegis_dagster.parsing.word.styles import Styles

if TYPE_CHECKING:
    from docling_core.types.doc.document import DoclingDocument
    from docling_core.types.doc.items.text import TextItem

# Characters that no text has: Unicode calls them noncharacters.
_OPEN: Final = "\ufdd0"
_CLOSE: Final = "\ufdd1"
_MARKED: Final = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}]*){_CLOSE}")
_PLACEHOLDER: Final = re.compile("%([1-9])")
_LEVELS: Final = 9
_ROMAN: Final = (
    *(("M", 1000), ("CM", 900), ("D", 500), ("CD", 400), ("C", 100), ("XC", 90), ("L", 50), ("XL", 40)),
    *(("X", 10), ("IX", 9), ("V", 5), ("IV", 4), ("I", 1)),
)


@dataclass(frozen=True, slots=True)
class _Level:
    format: str
    text: str
    start: int
    restart: int | None  # restarts after a paragraph of this level (from 1) or higher; 0: never; None: of any higher
    legal: bool  # shows every number as a decimal one
    style: str | None


@dataclass(slots=True)
class _List:
    """A numbering as paragraphs name it."""

    abstract: str
    levels: dict[int, _Level]
    starts: dict[int, int]  # where it starts anew when it is first used
    used: bool = False


class Numbering:
    """Counts the numbered paragraphs of a document, which are given in reading order."""

    def __init__(self, root: Element | None, styles: Styles) -> None:
        self._styles = styles
        self._abstracts: dict[str, Element] = {}
        self._numbers: dict[int, Element] = {}
        for item in root if root is not None else ():
            if item.tag == W + "abstractNum":
                self._abstracts[item.get(W + "abstractNumId", "")] = item
            elif item.tag == W + "num" and (identifier := number(item, W + "numId")) is not None:
                self._numbers[identifier] = item
        self._lists: dict[int, _List | None] = {}
        self._counters: dict[str, dict[int, int]] = {}
        self._of_styles: dict[str, tuple[int | None, int | None]] = {}

    def mark(self, paragraph: Element) -> None:
        """Count a paragraph, and put its number in front of its text, between the marks."""
        numbered = self._numbered(paragraph) if self._numbers else None
        if numbered is None:
            return
        shown = self._next(*numbered)
        text = next((node for node in paragraph.iter(T) if (node.text or "").strip()), None)
        following = paragraph.getnext()
        if following is not None and following.tag == TABLE:
            paragraph.addnext(etree.Element(P))  # else docling takes the table for a part of the list
        if shown and text is not None and parent_of(text, P) is paragraph:
            text.text = f"{_OPEN}{shown}{_CLOSE}{text.text}"

    def _numbered(self, paragraph: Element) -> tuple[_List, int] | None:
        properties = paragraph.find(f"{P_PR}/{W}numPr")
        identifier = number(properties.find(W + "numId")) if properties is not None else None
        level = number(properties.find(W + "ilvl")) if properties is not None else None
        style = None
        if identifier is None:
            style = self._styles.of(paragraph)
            identifier, of_style = self._of_style(style)
            level = of_style if level is None else level
        found = self._list(identifier) if identifier else None
        if found is None:
            return None
        by_style = (index for index, item in found.levels.items() if style is not None and item.style == style)
        level = next(by_style, level or 0)
        return (found, level) if level in found.levels else None

    def _of_style(self, style: str | None) -> tuple[int | None, int | None]:
        if style is None:
            return None, None
        if style not in self._of_styles:
            identifier = level = None
            for link in self._styles.chain(style):
                properties = link.find(f"{P_PR}/{W}numPr")
                if properties is not None:
                    level = number(properties.find(W + "ilvl")) if level is None else level
                    identifier = number(properties.find(W + "numId"))
                    if identifier is not None:
                        break
            self._of_styles[style] = identifier, level
        return self._of_styles[style]

    def _list(self, identifier: int) -> _List | None:
        if identifier not in self._lists:
            self._lists[identifier] = self._read_list(identifier)
        return self._lists[identifier]

    def _read_list(self, identifier: int) -> _List | None:
        item = self._numbers.get(identifier)
        abstract = self._abstract(item)
        if item is None or abstract is None:
            return None
        levels = {index: level for node in abstract.iterfind(W + "lvl") for index, level in _level(node)}
        starts = {}
        for override in item.iterfind(W + "lvlOverride"):
            index = number(override, W + "ilvl")
            node, start = override.find(W + "lvl"), number(override.find(W + "startOverride"))
            if node is not None:
                levels.update(_level(node))
            if start is not None and index in levels:
                starts[index] = start
                levels[index] = replace(levels[index], start=start)
        return _List(abstract.get(W + "abstractNumId", ""), levels, starts)

    def _abstract(self, item: Element | None) -> Element | None:
        """The definition behind a numbering, which may lie behind a style of numberings."""
        for _ in range(_LEVELS):
            reference = item.find(W + "abstractNumId") if item is not None else None
            abstract = self._abstracts.get(reference.get(VAL, "")) if reference is not None else None
            link = abstract.find(W + "numStyleLink") if abstract is not None else None
            if link is None:
                return abstract
            identifier, _level_of_style = self._of_style(link.get(VAL))
            item = self._numbers.get(identifier) if identifier is not None else None
        return None

    def _next(self, numbering: _List, level: int) -> str:
        counters = self._counters.setdefault(numbering.abstract, {})
        if not numbering.used:
            numbering.used = True
            counters.update({index: start - 1 for index, start in numbering.starts.items()})
        own = numbering.levels[level]
        counters[level] = counters.get(level, own.start - 1) + 1
        for deeper in [index for index in counters if index > level]:
            restart = numbering.levels[deeper].restart if deeper in numbering.levels else None
            if restart is None or level < restart:
                del counters[deeper]
        return self._show(numbering, own, counters)

    def _show(self, numbering: _List, own: _Level, counters: dict[int, int]) -> str:
        if own.format == "bullet" and len(own.text) < 2:
            return ""
        unknown = False

        def value(match: re.Match[str]) -> str:
            nonlocal unknown
            level = numbering.levels.get(int(match[1]) - 1)
            if level is None:
                return ""
            count = counters.setdefault(int(match[1]) - 1, level.start)
            text = format_number(count, "decimal" if own.legal else level.format)
            unknown = unknown or text is None
            return text or ""

        shown = _PLACEHOLDER.sub(value, own.text).strip()
        return "" if unknown or not any(char.isalnum() for char in shown) else shown


def _level(node: Element) -> list[tuple[int, _Level]]:
    index = number(node, W + "ilvl")
    if index is None or not 0 <= index < _LEVELS:
        return []

    def value(name: str) -> str | None:
        found = node.find(W + name)
        return found.get(VAL) if found is not None else None

    start, restart = number(node.find(W + "start")), number(node.find(W + "lvlRestart"))
    text = (value("lvlText") or "")[:200].replace(_OPEN, "").replace(_CLOSE, "")
    legal = is_on(node.find(W + "isLgl"))
    return [
        (
            index,
            _Level(value("numFmt") or "decimal", text, 1 if start is None else start, restart, legal, value("pStyle")),
        )
    ]


def format_number(count: int, form: str) -> str | None:
    """A number in one of Word's formats; None for a format that is not known here."""
    match form:
        case "decimal":
            return str(count)
        case "decimalZero":
            return f"{count:02d}"
        case "upperRoman" | "lowerRoman":
            return _roman(count) if form == "upperRoman" else _roman(count).lower()
        case "upperLetter" | "lowerLetter":
            letter = chr(ord("A") + (count - 1) % 26) * ((count - 1) // 26 + 1) if 0 < count < 26 * 20 else str(count)
            return letter if form == "upperLetter" else letter.lower()
        case "ordinal":
            teen = count % 100 in (11, 12, 13)
            return f"{count}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(count % 10, 'th')}"
        case "none":
            return ""
    return None


def _roman(count: int) -> str:
    if not 0 < count < 10_000:
        return str(count)
    parts = []
    for numeral, value in _ROMAN:
        times, count = divmod(count, value)
        parts.append(numeral * times)
    return "".join(parts)


def take_numbers(document: "DoclingDocument") -> None:
    """Take the numbers out of the texts: to be the markers of list items, and to stand in front of all other texts."""
    for item in document.texts:
        if _OPEN in item.text:
            _take(document, item)
    for table in document.tables:
        for cell in table.data.table_cells:
            if _OPEN in cell.text:
                cell.text = _MARKED.sub(r"\1 ", cell.text)


def _without_number(before: str, shown: str) -> str:
    """What stands before a number, without the number that docling put there itself, of the same words or of none."""
    words = before.rstrip().rstrip("0123456789.")
    return "" if words in ("", shown.rstrip("0123456789.:")) else before


def _take(document: "DoclingDocument", item: "TextItem") -> None:
    from docling_core.types.doc.items.text import ListItem

    before, _, behind = item.text.partition(_OPEN)
    shown, closed, text = behind.partition(_CLOSE)
    if not closed:  # a character of the file itself
        return
    owner: object = item
    for _ in range(2):  # a list item with several formats keeps its texts in an inline group
        if not isinstance(owner, ListItem) and hasattr(owner, "parent") and owner.parent is not None:
            owner = owner.parent.resolve(document)
    if isinstance(owner, ListItem):
        owner.marker, owner.enumerated = shown, True
        item.text = f"{before}{text}"
    else:
        item.text = f"{_without_number(before, shown)}{shown} {text}"
    item.text = _MARKED.sub(r"\1 ", item.text)
    item.orig = item.text
