"""Simple items as Markdown: what docling_core's Markdown serializer makes of them, byte for byte."""

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from aegis_dagster.chunking.tables import Table, table_markdown

_BACKTICKS = re.compile(r"`+")
_ORDINAL = re.compile(r"\d+\.")
_INDENT = "    "
_SAFE_SCHEMES = {"http", "https", "ftp", "ftps", "sftp", "mailto", "tel", "file"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_IGNORED_IN_SCHEME = re.compile(r"[\t\r\n]")
_LEADING_IN_SCHEME = "".join(map(chr, range(0x21)))
_UNSAFE_IN_LINK = re.compile(r"[\x00-\x20\x7f()<>\"\\]")
_ENTITY = re.compile(r"&(?=#?\w+;)")
_HEADINGS = ("title", "section_header")


@dataclass(slots=True, eq=False)
class Node:
    """An item or a group of a document's tree."""

    pointer: str  # "#/texts/3"
    kind: str  # the label of an item; "list", "inline", or "group" for all other groups
    shown: bool  # whether its layer is part of the text
    text: str = ""
    level: int = 0  # of a heading; 0 for a title
    marker: str = ""  # of a list item
    enumerated: bool = False
    bold: bool = False
    italic: bool = False
    struck: bool = False
    link: str | None = None
    table: Table | None = None
    parent: "Node | None" = None
    children: list["Node"] = field(default_factory=list)
    place: int = 0  # among the children of its parent

    @property
    def is_heading(self) -> bool:
        """Whether it is a title or a section header."""
        return self.kind in _HEADINGS


@dataclass(slots=True)
class Rendered:
    """The Markdown of a node."""

    text: str
    nodes: list[Node]  # the items in it
    covered: set[str]  # the pointers of all nodes that it speaks for


def render(node: Node, depth: int = 0, *, inline: bool = False) -> Rendered:
    """The Markdown of an item, or of a group with all that is in it; `depth` is that of the list around it."""
    if node.kind == "list":
        return _list(node, _inside(node, depth + 1, inline=inline), _INDENT * depth)
    if node.kind == "inline":
        return _joined(node, " ", _inside(node, depth, inline=True))
    if node.kind == "group":
        return _joined(node, "\n\n", _inside(node, 0, inline=False))
    if node.table is not None:
        return Rendered(table_markdown(node.table), [node], {node.pointer})
    return _text(node, inline=inline)


def _inside(group: Node, depth: int, *, inline: bool) -> list[Rendered]:
    """What stands in a group, in reading order, empty ones too: they speak for their nodes."""
    parts: list[Rendered] = []
    covered: set[str] = set()
    below = list(reversed(group.children))
    while below:
        node = below.pop()
        if node.shown and node.pointer not in covered:
            parts.append(render(node, depth, inline=inline))
            covered |= parts[-1].covered
        below.extend(reversed(node.children))
    return parts


def _joined(group: Node, delimiter: str, parts: list[Rendered]) -> Rendered:
    nodes = {node.pointer: node for part in parts if part.text for node in part.nodes}
    covered = {group.pointer}.union(*(part.covered for part in parts))
    return Rendered(delimiter.join(part.text for part in parts if part.text), list(nodes.values()), covered)


def _list(group: Node, parts: list[Rendered], indent: str) -> Rendered:
    lines: list[str] = []
    for part in parts:
        first = part.nodes[0].parent if part.nodes else None
        if part.text and lines and first is not None and first.kind == "inline":
            lines[-1] += part.text
        elif part.text:
            lines.append(part.text)
    text = "\n".join(line if line[0] == " " else indent + line for line in lines)
    rendered = _joined(group, "", parts)
    return Rendered(text, rendered.nodes, rendered.covered)


def _text(node: Node, *, inline: bool) -> Rendered:
    """A text with the mark of its kind. Of a node without text that holds one inline group, the text is the group's."""
    group = node.children[0] if not node.text and len(node.children) == 1 else None
    held = render(group) if group is not None and group.kind == "inline" else None
    text = held.text if held else node.text
    covered = {node.pointer} | held.covered if held else {node.pointer}
    if node.is_heading:
        text = text if held else _decorated(text.replace("\n", " "), node)
        return Rendered(f"{'#' * min(node.level + 1, 6)} {text}", [node], covered)
    if node.kind == "list_item":
        text = text if held else _decorated(_broken(text), node)
        return Rendered(" ".join([*_markers(node), text]), [node], covered)
    if node.kind == "code":
        text = _code_span(text) if inline or node.link is not None else _code_block(text)
    else:
        text = _broken(text)
    nodes = [node] if text else []
    return Rendered(text if held else _decorated(text, node), nodes, covered)


def _markers(item: Node) -> list[str]:
    """The marker that Markdown knows, and the original one if it says more."""
    if item.marker in ("-", "*", "+") or _ORDINAL.fullmatch(item.marker):
        return [item.marker]
    if any(character.isalnum() for character in item.marker):
        return ["-", item.marker]
    siblings = item.parent.children if item.parent else []
    if not item.marker and siblings and siblings[0].kind == "list_item" and siblings[0].enumerated:
        return [f"{item.place + 1}."]
    return ["-"]


def _broken(text: str) -> str:
    """Single line breaks as Markdown's hard ones; empty lines stay."""
    if "\n" not in text:
        return text
    return "\n\n".join(paragraph.replace("\n", "  \n") for paragraph in text.split("\n\n"))


def _decorated(text: str, node: Node) -> str:
    if node.bold:
        text = f"**{text}**"
    if node.italic:
        text = f"*{text}*"
    if node.struck:
        text = f"~~{text}~~"
    if node.link is not None and _is_safe(link := _address(node.link)):
        link = _UNSAFE_IN_LINK.sub(lambda match: f"%{ord(match.group()):02X}", _ENTITY.sub("&amp;", link))
        text = f"[{text}]({link})"
    return text


def _address(link: str) -> str:
    """The address as docling_core reads it: a URL, or else a path."""
    from pydantic_core import Url

    try:
        return str(Url(link))
    except ValueError:
        return PurePosixPath(link).as_posix()


def _is_safe(link: str) -> bool:
    """Whether a link may be followed: no scheme that runs something, such as `javascript:`."""
    match = _SCHEME.match(_IGNORED_IN_SCHEME.sub("", link).lstrip(_LEADING_IN_SCHEME))
    return match is None or len(match[1]) == 1 or match[1].lower() in _SAFE_SCHEMES


def _longest_run(text: str) -> int:
    return max(map(len, _BACKTICKS.findall(text)), default=0)


def _code_span(text: str) -> str:
    ticks = "`" * (_longest_run(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def _code_block(text: str) -> str:
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}\n{text}\n{fence}"
