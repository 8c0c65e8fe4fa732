"""The first page of a parsed document as Markdown, for the UI."""

from collections.abc import Iterator, Mapping
from typing import Any

from aegis_dagster.defs.ingestion.metadata import markdown_table
from aegis_dagster.domain.markdown import escaped, fenced

_ROWS = 10  # of a table
_PAGE = 1  # items without a page belong to it


def first_page(document: Mapping[str, Any], characters: int) -> str:
    """Headings, texts, lists and tables of page 1 in reading order; whole blocks up to this many characters."""
    blocks: list[str] = []
    length = 0
    for block in _blocks(document, document.get("body", {}), 0, characters):
        if blocks and length + len(block) > characters:
            return "\n\n".join([*blocks, "…"])
        blocks.append(block)
        length += len(block)
    return "\n\n".join(blocks)


def _blocks(document: Mapping[str, Any], node: Mapping[str, Any], depth: int, characters: int) -> Iterator[str]:
    """The node's own block, then those below it; a picture's captions are among these. Longer texts are cut."""
    if node.get("content_layer") == "furniture":  # headers and footers of pages, the title of a browser tab
        return
    pages = {place["page_no"] for place in node.get("prov") or ()}
    if not pages or _PAGE in pages:
        block = _block(node, depth, characters)
        if block:
            yield block
    inside = depth + 1 if node.get("label") == "list_item" else depth
    for child in node.get("children", ()):
        yield from _blocks(document, _resolved(document, child["$ref"]), inside, characters)


def _resolved(document: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    """The node that a JSON pointer like "#/texts/3" names."""
    _, kind, number = reference.split("/")
    found: Mapping[str, Any] = document[kind][int(number)]
    return found


def _block(node: Mapping[str, Any], depth: int, characters: int) -> str:
    label, said = node.get("label"), str(node.get("text", "")).strip()[:characters]
    text = escaped(said)
    if label in ("table", "document_index"):
        return _table(node)
    if label == "picture":
        return "*(a picture)*"
    if not text:
        return ""
    if label == "title":
        return f"# {text}"
    if label == "section_header":
        return f"{'#' * min(6, int(node.get('level', 1)) + 1)} {text}"
    if label == "list_item":
        return f"{'  ' * depth}- {text}"
    if label == "code":
        return fenced(said)
    return f"*{text}*" if label == "caption" else text


def _table(node: Mapping[str, Any]) -> str:
    grid = [[cell["text"] for cell in row] for row in node["data"].get("grid", ())]
    if not grid:
        return ""
    more = f"\n\n*{len(grid) - 1 - _ROWS} more rows*" if len(grid) - 1 > _ROWS else ""
    return markdown_table(grid[0], grid[1 : 1 + _ROWS]) + more
