"""Random documents of headings, texts, lists, code and tables, as Hypothesis strategies."""

from pathlib import Path
from typing import Any

from docling_core.types.doc.common.content_layer import ContentLayer
from docling_core.types.doc.common.formatting import Formatting
from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.items.group import ListGroup
from docling_core.types.doc.items.node import NodeItem
from docling_core.types.doc.items.table.table_data import TableCell, TableData
from docling_core.types.doc.labels import DocItemLabel, GroupLabel
from hypothesis import strategies as st
from pydantic import AnyUrl

from aegis_dagster_tests.support.chunked_documents import empty_document

_WORDS = st.text("ab.`_|&<# \n-é", max_size=12) | st.lists(st.sampled_from(["one", "two.", "\n"])).map(" ".join)
_LINKS = st.sampled_from(
    [
        None,
        AnyUrl("https://example.org"),
        AnyUrl('https://exämple.org/a b(c)?d="e"&amp;f#g'),
        AnyUrl("javascript:alert(1)"),
        Path("./notes/../a.md"),
        Path("C:/x"),
        Path("http:/x"),  # a URL once it is read back
        Path("java\tscript:x"),
        Path("//host/x y"),
        Path("?q=1"),
    ]
)
_FORMATTING = st.none() | st.builds(
    Formatting, bold=st.booleans(), italic=st.booleans(), strikethrough=st.booleans(), underline=st.booleans()
)
_LAYERS = st.sampled_from([ContentLayer.BODY] * 5 + [ContentLayer.NOTES, ContentLayer.FURNITURE])
_MARKERS = st.sampled_from(["", "-", "*", "3.", "a)", "•", "٣."])
_KINDS = ["text", "paragraph", "code", "heading", "title", "list", "item", "item", "inline", "section", "table", "up"]


_CELLS = st.sampled_from(["", "", "a", " b ", "c\td", "e\nf", "|", "1", "2.5", "True", "中", "a", "-:", "a\u2028b"])


@st.composite
def tables(draw: st.DrawFn) -> TableData:
    """Tables of plain cells, with spans that overlap or reach beyond, places without a cell and headers anywhere."""
    data = TableData(num_rows=draw(st.integers(1, 4)), num_cols=draw(st.integers(1, 4)))
    for _ in range(draw(st.integers(0, 12))):
        row, col = draw(st.integers(0, data.num_rows)), draw(st.integers(0, data.num_cols))
        data.table_cells.append(
            TableCell(
                text=draw(_CELLS),
                start_row_offset_idx=row,
                end_row_offset_idx=row + draw(st.sampled_from([1, 1, 1, 2, 0, -2])),
                start_col_offset_idx=col,
                end_col_offset_idx=col + draw(st.sampled_from([1, 1, 1, 2, 0])),
                column_header=draw(st.sampled_from([row == 0, draw(st.booleans())])),
            )
        )
    return data


@st.composite
def simple_documents(draw: st.DrawFn) -> DoclingDocument:
    """Trees of everything that `read_simple` reads, in every order and layer."""
    document = empty_document()
    above: list[NodeItem] = [document.body]
    for kind in draw(st.lists(st.sampled_from(_KINDS), max_size=16)):
        if kind == "up" or len(above) > 6:
            above = above[: draw(st.integers(1, len(above)))]
            continue
        node = _add(draw, document, kind, above[-1])
        if kind in ("list", "inline", "section") or (kind != "table" and draw(st.booleans())):
            above.append(node)
    return document


def _add(draw: st.DrawFn, document: DoclingDocument, kind: str, parent: NodeItem) -> NodeItem:
    where: dict[str, Any] = {"parent": parent, "content_layer": draw(_LAYERS)}
    if kind == "list":
        return document.add_list_group(**where)
    if kind == "inline":
        return document.add_inline_group(**where)
    if kind == "section":
        return document.add_group(GroupLabel.SECTION, **where)
    if kind == "table":
        table: NodeItem = document.add_table(data=draw(tables()), parent=parent)
        table.content_layer = where["content_layer"]
        return table
    text: dict[str, Any] = where | {
        "text": draw(_WORDS),
        "formatting": draw(_FORMATTING),
        "hyperlink": draw(_LINKS),
    }
    node: NodeItem
    if kind == "heading":
        node = document.add_heading(level=draw(st.integers(1, 8)), **text)
    elif kind == "title":
        node = document.add_title(**text)
    elif kind == "code":
        node = document.add_code(**text)
    elif kind == "item" and isinstance(parent, ListGroup):
        item = document.add_list_item(enumerated=draw(st.booleans()), **text)
        item.marker = draw(_MARKERS)
        node = item
    else:
        node = document.add_text(DocItemLabel.PARAGRAPH if kind == "paragraph" else DocItemLabel.TEXT, **text)
    return node
