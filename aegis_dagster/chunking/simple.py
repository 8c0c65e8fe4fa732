"""Documents of nothing but headings, texts, lists, code and plain tables, read from their JSON without docling_core.

Most text, Markdown and HTML files are such documents. Whatever else a document may hold (pictures, pages, lists in
cells, annotations) is docling_core's business: `read_simple` returns None then. What becomes of these is what
docling_core makes of the same items, byte for byte: the tests compare the two.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aegis_dagster.chunking.hybrid import Item, Part
from aegis_dagster.chunking.markdown import Node, Rendered, render
from aegis_dagster.chunking.tables import MOST_CELLS, read_table
from aegis_dagster.domain.left_out import Piece

_OF_DOCUMENT = {"schema_name", "version", "name", "origin", "furniture", "body", "groups", "texts", "tables"}
_OF_NODE = {"self_ref", "parent", "children", "content_layer", "label"}
_OF_GROUP = _OF_NODE | {"name"}
_OF_TEXT = _OF_NODE | {"orig", "text", "formatting", "hyperlink"}
_OF_LABEL = {
    "title": _OF_TEXT,
    "section_header": _OF_TEXT | {"level"},
    "list_item": _OF_TEXT | {"enumerated", "marker"},
    "code": _OF_TEXT | {"code_language"},
    "text": _OF_TEXT,
    "paragraph": _OF_TEXT,
}
_OF_TABLE = _OF_NODE | {"data"}
_GROUPS = {"list": "list", "inline": "inline"} | dict.fromkeys(("unspecified", "chapter", "section", "sheet"), "group")
_LAYERS = {"body": True, "notes": True, "furniture": False, "background": False, "invisible": False}
_NOTHING: tuple[Any, ...] = (None, [], {}, "")
_DEEPEST = 30  # what is nested deeper is left to docling_core, which refuses it at some depth


class SimpleDocument:
    """The items of a document, its Markdown, and its parts for the chunker."""

    def __init__(self, body: Node, texts: list[Node], tables: list[Node]) -> None:
        self._texts = texts
        self._tables = tables
        self._in_order = [node for node in _below(body) if node.shown]
        self._rendered = {rendered[0]: rendered[1] for rendered in _render_all(self._in_order)}

    def markdown(self) -> str:
        """The whole document."""
        return "\n\n".join(rendered.text for rendered in self._rendered.values() if rendered.text)

    def pieces(self) -> list[Piece]:
        """Every text of the document once, those outside its tree too."""
        texts = [node.text for node in self._texts if node.shown]
        tables = [node.table.cells for node in self._tables if node.shown and node.table]
        texts.extend("\n".join(cell.text for cell in cells) for cells in tables)
        return [Piece("the parsed document", text) for text in texts]

    def headings(self) -> list[str]:
        """The texts of all titles and section headers, with repetitions."""
        return [node.text for node in self._texts if node.is_heading]

    def heading_paths(self) -> Iterator[tuple[str, ...]]:
        """Each heading with those above it, outermost first."""
        above: dict[int, Node] = {}
        for node in self._in_order:
            if node.is_heading:
                above = _under(above, node)
                yield _texts(above)

    def parts(self) -> Iterator[Part]:
        """The parts as docling_core's HierarchicalChunker cuts them: texts, whole lists, headings without a text."""
        above: dict[int, Node] = {}
        childless = False  # whether no part has stood under the last heading
        covered: set[str] = set()
        for node in self._in_order:
            if node.is_heading:
                if childless and node.level <= max(above):
                    yield _of_headings(above)
                above, childless = _under(above, node), True
            elif node.kind != "group" and node.pointer not in covered:
                rendered = self._rendered.get(node.pointer) or render(node)
                covered |= rendered.covered
                if rendered.text and rendered.nodes:
                    yield Part(rendered.text, _texts(above), [_item(each) for each in rendered.nodes])
                    childless = False
        if childless:
            yield _of_headings(above)


def read_simple(content: str | bytes) -> SimpleDocument | None:
    """The document of a document.json; None if docling_core must read it."""
    try:
        values = json.loads(content)
        if not _holds_only(values, _OF_DOCUMENT) or not values["version"].startswith("1."):
            return None
        nodes = _nodes(values)
        if nodes is None or not _connect(nodes, values):
            return None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # it is invalid, which docling_core tells better
    texts, tables = ([nodes[f"#/{kind}/{at}"] for at in range(len(values[kind]))] for kind in ("texts", "tables"))
    return SimpleDocument(nodes["#/body"], texts, tables)


def _nodes(values: Mapping[str, Any]) -> dict[str, Node] | None:
    """The nodes by their pointers, not yet connected; None if one is not simple."""
    nodes = {name: Node(name, "group", shown=True) for name in ("#/body", "#/furniture")}
    for number, entry in enumerate(values["groups"]):
        kind = _GROUPS.get(entry["label"])
        if kind is None or not _holds_only(entry, _OF_GROUP):
            return None
        pointer = f"#/groups/{number}"
        nodes[pointer] = Node(pointer, kind, _LAYERS[entry["content_layer"]])
    for number, entry in enumerate(values["texts"]):
        allowed = _OF_LABEL.get(entry["label"])
        if allowed is None or not _holds_only(entry, allowed) or not isinstance(entry["text"], str):
            return None
        pointer = f"#/texts/{number}"
        nodes[pointer] = _text_node(pointer, entry)
    for number, entry in enumerate(values["tables"]):
        table = read_table(entry["data"]) if entry["label"] == "table" and _holds_only(entry, _OF_TABLE) else None
        if table is None or entry["children"]:
            return None
        pointer = f"#/tables/{number}"
        nodes[pointer] = Node(pointer, "table", _LAYERS[entry["content_layer"]], table=table)
    cells = sum(node.table.num_rows * node.table.num_cols for node in nodes.values() if node.table)
    return nodes if cells <= MOST_CELLS else None


def _text_node(pointer: str, entry: Mapping[str, Any]) -> Node:
    formatting = entry.get("formatting") or {}
    return Node(
        pointer,
        entry["label"],
        _LAYERS[entry["content_layer"]],
        text=entry["text"],
        level=entry["level"] if entry["label"] == "section_header" else 0,
        marker=entry["marker"] if entry["label"] == "list_item" else "",
        enumerated=entry.get("enumerated", False),
        bold=formatting.get("bold", False),
        italic=formatting.get("italic", False),
        struck=formatting.get("strikethrough", False),
        link=entry.get("hyperlink"),
    )


def _connect(nodes: Mapping[str, Node], values: Mapping[str, Any]) -> bool:
    """Make a tree of the nodes. False if they are none, or one that docling_core would mend or refuse."""
    for kind in ("groups", "texts", "tables"):
        for number, entry in enumerate(values[kind]):
            node = nodes[f"#/{kind}/{number}"]
            if entry["self_ref"] != node.pointer:
                return False
            node.parent = nodes[entry["parent"]["$ref"]] if entry.get("parent") else None
            if node.kind == "list_item" and (node.parent is None or node.parent.kind != "list"):
                return False
            node.children = [nodes[child["$ref"]] for child in entry["children"]]
    for name in ("body", "furniture"):
        nodes[f"#/{name}"].children = [nodes[child["$ref"]] for child in values[name]["children"]]
    for node in nodes.values():
        if len(node.children) != len(set(map(id, node.children))):
            return False
        for place, child in enumerate(node.children):
            if child.parent is not node:
                return False
            child.place = place
    return _depth(nodes["#/body"]) <= _DEEPEST


def _holds_only(entry: Mapping[str, Any], names: set[str]) -> bool:
    """Whether nothing but these fields says anything."""
    return all(entry[name] in _NOTHING for name in entry.keys() - names)


def _depth(node: Node) -> int:
    depth, row = 0, [node]
    while row and depth <= _DEEPEST:
        depth, row = depth + 1, [child for each in row for child in each.children]
    return depth


def _below(node: Node) -> Iterator[Node]:
    """All nodes under a node, in reading order."""
    waiting = list(reversed(node.children))
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(node.children))


def _render_all(in_order: Iterable[Node]) -> Iterator[tuple[str, Rendered]]:
    """The Markdown of each node that stands for itself, by its pointer."""
    covered: set[str] = set()
    for node in in_order:
        if node.kind != "group" and node.pointer not in covered:
            rendered = render(node)
            covered |= rendered.covered
            yield node.pointer, rendered


def _under(above: Mapping[int, Node], heading: Node) -> dict[int, Node]:
    """The headings by their levels once another begins."""
    return {level: node for level, node in above.items() if level < heading.level} | {heading.level: heading}


def _texts(above: Mapping[int, Node]) -> tuple[str, ...]:
    return tuple(node.text for node in above.values())


def _of_headings(above: Mapping[int, Node]) -> Part:
    return Part("", _texts(above), [_item(node) for node in above.values()])


def _item(node: Node) -> Item:
    return Item(node.pointer, node.kind == "list_item", lambda: "" if node.is_heading else render(node).text)
