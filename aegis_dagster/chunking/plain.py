"""Passages without docling's chunkers: windows over the items under one heading, in linear time.

Imports docling_core: load it in a worker.
"""

from collections.abc import Iterator

from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.items.node import DocItem
from docling_core.types.doc.items.picture.picture import PictureItem
from docling_core.types.doc.items.table.table import TableItem
from docling_core.types.doc.items.table.table_data import RichTableCell
from docling_core.types.doc.items.text import SectionHeaderItem, TextItem, TitleItem

from aegis_dagster.chunking.documents import LAYERS, description_of, walk
from aegis_dagster.chunking.passages import Passage
from aegis_dagster.chunking.tokens import TokenCounter


def plain_passages(document: DoclingDocument, counter: TokenCounter, *, max_tokens: int) -> Iterator[Passage]:
    """The passages of a document, in reading order, each heading in at least one of them."""
    in_cells: set[str] = set()  # items that a table's cells refer to: the table shows them
    childless: Passage | None = None  # the last heading, until there is text under it
    window = _Window((), counter, max_tokens)
    for item, headings in walk(document):
        if isinstance(item, TitleItem | SectionHeaderItem):
            yield from window.flush()
            if childless is not None and len(headings) < len(childless.headings):
                yield childless
            childless = Passage("", (*headings, item.text), (item.self_ref,))
            window = _Window(childless.headings, counter, max_tokens)
            continue
        text = _text_of(item, document, in_cells)
        if text.strip():
            childless = None
            yield from window.add(text, item.self_ref)
    yield from window.flush()
    if childless is not None:
        yield childless


class _Window:
    """Neighbouring items under the same headings, joined as long as they fit."""

    def __init__(self, headings: tuple[str, ...], counter: TokenCounter, max_tokens: int) -> None:
        self._headings = headings
        self._counter = counter
        self._room = max_tokens - counter.cost("\n".join(headings))
        self._texts: list[str] = []
        self._items: list[str] = []
        self._cost = 0

    def add(self, text: str, pointer: str) -> Iterator[Passage]:
        """Add an item. Returns the passage so far if the item did not fit into it."""
        cost = self._counter.cost(text)
        if self._texts and self._cost + cost > self._room:
            yield from self.flush()
        self._texts.append(text)
        self._items.append(pointer)
        self._cost += cost

    def flush(self) -> Iterator[Passage]:
        """The passage gathered so far, if any."""
        if self._texts:
            yield Passage("\n".join(self._texts), self._headings, tuple(self._items))
        self._texts, self._items, self._cost = [], [], 0


def _text_of(item: DocItem, document: DoclingDocument, in_cells: set[str]) -> str:
    if isinstance(item, TableItem):
        return _table(item, document, in_cells)
    if isinstance(item, PictureItem):
        return description_of(item)
    return item.text if isinstance(item, TextItem) and item.self_ref not in in_cells else ""


def _table(table: TableItem, document: DoclingDocument, in_cells: set[str]) -> str:
    """The table as Markdown; a cell that spans several places is shown in the first."""
    rows = [[""] * table.data.num_cols for _ in range(table.data.num_rows)]
    for cell in table.data.table_cells:
        text = cell.text
        if isinstance(cell, RichTableCell):
            inside = list(document.iterate_items(root=cell.ref.resolve(document), included_content_layers=LAYERS))
            in_cells.update(item.self_ref for item, _ in inside)
            text = " ".join(item.text for item, _ in inside if isinstance(item, TextItem))
        rows[cell.start_row_offset_idx][cell.start_col_offset_idx] = " ".join(text.split()).replace("|", "\\|")
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines[:1], "|" + " - |" * table.data.num_cols, *lines[1:]]) if lines else ""
