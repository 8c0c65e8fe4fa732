"""The text of a Markdown paragraph in runs of one format, divided as docling's reader of pages divides a page's text.

Pure, but for marko's elements, of which it reads the names and the fields.
"""

import html
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from pydantic import AnyUrl, ValidationError

BREAK: Final = "\ue000"  # stands for a line break in the text of a run
_BREAKS: Final = re.compile(rf" *{BREAK}[ {BREAK}]*")
_DEEPEST: Final = 20  # deeper marks are left to the page, which bounds its own depth
_HARMFUL: Final = re.compile(r"\s*(?:javascript|vbscript|data):", re.IGNORECASE)
_MARKS: Final = {"Emphasis": "em", "StrongEmphasis": "strong", "Strikethrough": "del"}
_CLEANED: Final = str.maketrans(
    {
        **dict.fromkeys("\u00a0\u202f", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u00ad\ufeff\u2060", ""),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015", "-"),
        **dict.fromkeys("\u2018\u2019", "'"),
        **dict.fromkeys("\u201c\u201d", '"'),
        "\u2026": "...",
    }
)


class OnlyAPageShowsIt(Exception):
    """The text holds something that is read from its page."""


@dataclass(slots=True)
class _Mark:
    """A part of a line that stands out: `em`, `strong`, `del`, `code`, `a`, or a line break (`br`)."""

    name: str
    children: "list[_Mark | str]"
    address: str = ""

    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text() for child in self.children)


@dataclass(frozen=True, slots=True)
class Run:
    """A text of one format."""

    text: str
    formats: frozenset[str] = frozenset()  # "bold", "italic", "strikethrough"
    code: bool = False
    address: AnyUrl | Path | None = None


def runs_of(elements: Sequence[Any], before: str = "", *, depth: int = 0) -> list[Run]:
    """The runs of a line's elements, behind a text that stands before them. Raises OnlyAPageShowsIt."""
    return list(_runs(_divided(_nodes(elements, before, depth)), Run("")))


def cleaned(text: str) -> str:
    """The text with plain spaces, hyphens and quotation marks."""
    return text if text.isascii() else text.translate(_CLEANED)


def with_lines(text: str) -> str:
    """The text of one paragraph with its line breaks."""
    return _BREAKS.sub("\n", text).strip()


def joined(runs: Sequence[Run]) -> list[Run]:
    """The runs without neighbours of one format."""
    alike = groupby(runs, lambda run: (run.formats, run.code, run.address))
    return [Run(" ".join(run.text for run in group), *form) for form, group in alike]


def as_one(runs: Sequence[Run]) -> Run:
    """One run of all, with the format and the address that all of them have."""
    first = runs[0] if runs else Run("")
    return Run(
        with_lines(" ".join(run.text for run in runs)),
        first.formats if all(run.formats == first.formats for run in runs) else frozenset(),
        address=first.address if all(run.address == first.address for run in runs) else None,
    )


def _nodes(elements: Sequence[Any], before: str, depth: int) -> "list[_Mark | str]":
    """The marks and texts of the elements; of texts side by side one is made."""
    if depth > _DEEPEST:
        raise OnlyAPageShowsIt
    found: list[_Mark | str] = []
    text = before
    for element in elements:
        node = _node(element, depth)
        if isinstance(node, str):
            text += node
            continue
        found += [text, node] if text else [node]
        text = "\n" if node.name == "br" else _title(element) if node.name == "a" else ""
    return [*found, text] if text else found


def _node(element: Any, depth: int) -> _Mark | str:
    kind = element.get_type()
    match kind:
        case "RawText" | "Literal":
            return html.unescape(element.children)
        case "LineBreak":
            return "\n" if element.soft else _Mark("br", [])
        case "CodeSpan":
            return _Mark("code", [element.children])
        case "Emphasis" | "StrongEmphasis" | "Strikethrough":
            return _Mark(_MARKS[kind], _nodes(element.children, "", depth + 1))
        case "Link" | "AutoLink" | "Url":
            mark = _Mark("a", _nodes(element.children, "", depth + 1), _address(element.dest))
            if element.title and not mark.text().strip():  # a page shows the title in the place of the text
                raise OnlyAPageShowsIt
            return mark
        case "FootnoteRef":
            return f"[{element.label}]"
        case "InlineHTML" if element.is_text:
            text: str = element.children
            return text
    raise OnlyAPageShowsIt


def _title(link: Any) -> str:
    return f" ({link.title})" if link.title else ""


def _address(destination: str) -> str:
    """An address as marko writes it into a page."""
    address = quote(html.unescape(destination), safe="/#:()*?=%@+,&")
    return "#harmful-link" if _HARMFUL.match(address) else address


def _divided(nodes: "list[_Mark | str]") -> "list[_Mark | str]":
    """The nodes without emphasis on part of a word, which would be divided there."""
    found: list[_Mark | str] = []
    waiting = deque(nodes)
    while waiting:
        node = waiting.popleft()
        if isinstance(node, str):
            found.append(node)
            continue
        if node.name in ("em", "strong"):
            text, after = node.text(), waiting[0] if waiting else None
            before = found[-1] if found else None
            if text and (
                (isinstance(before, str) and before[-1:].isalnum() and text[0].isalnum())
                or (isinstance(after, str) and after[:1].isalnum() and text[-1].isalnum())
            ):
                waiting.extendleft(reversed(node.children))
                continue
        node.children = _divided(node.children)
        found.append(node)
    return list(_with_whole_texts(found))


def _with_whole_texts(nodes: "Iterable[_Mark | str]") -> "Iterator[_Mark | str]":
    """The nodes; of texts side by side one is made."""
    for kind, group in groupby(nodes, type):
        if kind is str:
            yield "".join(map(str, group))
        else:
            yield from group


def _runs(nodes: "Iterable[_Mark | str]", around: Run) -> Iterator[Run]:
    """The runs of the nodes, in the format of what is around them."""
    for node in nodes:
        if isinstance(node, str):
            if BREAK in node:
                raise OnlyAPageShowsIt
            if text := " ".join(node.split()):
                yield replace(around, text=text)
        elif node.name == "br":
            yield replace(around, text=BREAK)
        elif node.name == "a":
            address = _link(node.address) if node.address else around.address
            yield from _runs(node.children, replace(around, address=address))
        elif node.name == "code":
            yield from _runs(node.children, replace(around, code=True))
        else:
            formats = around.formats | {{"em": "italic", "strong": "bold", "del": "strikethrough"}[node.name]}
            yield from _runs(node.children, replace(around, formats=formats))


@lru_cache(maxsize=256)
def _link(address: str) -> AnyUrl | Path:
    """The address of a link; a relative one is a path."""
    address = address.strip().removeprefix("file://")
    try:
        return AnyUrl(address)
    except ValidationError:
        return Path(address)
