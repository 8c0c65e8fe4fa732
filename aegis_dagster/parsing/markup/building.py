"""Builds a DoclingDocument from headings, paragraphs, lists and tables in reading order; for readers of markup.

Imports docling_core inside its methods, so that a reader is cheap to import.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from docling_core.types.doc.items.node import NodeItem
    from docling_core.types.doc.items.table.table_data import TableCell

_MOST_LEVELS: Final = 100  # docling's limit for headings
_MOST_COLUMNS: Final = 16_384
_WIDEST: Final = 1000  # columns within which cells fill rows below
_MOST_CELLS: Final = 1_000_000  # of a table with its empty cells
_DOTS_PER_INCH: Final = 72
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    column: 0-based; None, as markup has it: the next that neither a cell before it nor one above it fills.
    """

    text: str
    rows: int = 1
    columns: int = 1
    header: bool = False
    column: int | None = None


class Builder:
    """A document that grows. Text without anything visible is not added."""

    def __init__(self, name: str) -> None:
        from docling_core.types.doc.document import DoclingDocument

        self.document: DoclingDocument = DoclingDocument(name=name)
        self._lists: list[NodeItem] = []
        self._page = 0

    def title(self, text: str) -> None:
        """The title of the whole document."""
        if text := clean(text):
            self._end_lists()
            self._at_page(self.document.add_title(text))

    def heading(self, text: str, level: int) -> None:
        """The heading of a section; level: 1 and more."""
        if text := clean(text):
            self._end_lists()
            self._at_page(self.document.add_heading(text, level=min(max(level, 1), _MOST_LEVELS)))

    def paragraph(self, text: str) -> None:
        """A paragraph."""
        self._text("TEXT", text)

    def footnote(self, text: str) -> None:
        """A footnote or an endnote."""
        self._text("FOOTNOTE", text)

    def caption(self, text: str) -> None:
        """The caption of what follows or precedes."""
        self._text("CAPTION", text)

    def formula(self, text: str) -> None:
        """A formula on lines of its own."""
        self._text("FORMULA", text)

    def code(self, text: str) -> None:
        """Lines that keep their spaces and breaks."""
        text = _CONTROLS.sub("", text.strip("\n")).rstrip()
        if text.strip():
            self._end_lists()
            self._at_page(self.document.add_code(text))

    def item(self, text: str, *, depth: int = 1, marker: str = "") -> None:
        """An item of a list; depth: 1 for a list that stands in no other; marker: the number of a numbered one."""
        text = clean(text)
        if not text:
            return
        depth = min(depth, len(self._lists) + 1, _MOST_LEVELS)
        del self._lists[depth:]
        if len(self._lists) < depth:
            self._lists.append(self.document.add_list_group(parent=self._lists[-1] if self._lists else None))
        item = self.document.add_list_item(text, enumerated=bool(marker), marker=marker or "-", parent=self._lists[-1])
        self._at_page(item)

    def table(self, rows: Sequence[Sequence[Cell]], caption: str = "") -> None:
        """A table; a caption is added also where no cell has text."""
        from docling_core.types.doc.items.table.table_data import TableData
        from docling_core.types.doc.labels import DocItemLabel

        self._end_lists()
        cells = _placed(rows)
        caption = clean(caption)
        above = self.document.add_text(DocItemLabel.CAPTION, caption) if caption else None
        if above is not None:
            self._at_page(above)
        if not cells:
            return
        high, wide = max(cell.end_row_offset_idx for cell in cells), max(cell.end_col_offset_idx for cell in cells)
        if high * wide > _MOST_CELLS:  # mostly empty: docling refuses it
            for row in rows:
                self.paragraph(" | ".join(cell.text for cell in row if cell.text))
        else:
            self._at_page(self.document.add_table(TableData(table_cells=cells, num_rows=high, num_cols=wide), above))

    def picture(self, image: bytes | None = None, text: str = "") -> None:
        """A picture; image: its file, if there is one; text: what is said about it, e.g. its alternative text."""
        from docling_core.types.doc.common.reference import ImageRef
        from docling_core.types.doc.labels import DocItemLabel
        from PIL import Image

        self._end_lists()
        text = clean(text)
        caption = self.document.add_text(DocItemLabel.CAPTION, text) if text else None
        if caption is not None:
            self._at_page(caption)
        shown = None
        if image is not None:
            try:
                with Image.open(io.BytesIO(image)) as opened:
                    opened.load()
                    shown = ImageRef.from_pil(opened, dpi=_DOTS_PER_INCH)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                shown = None
        if shown is not None or caption is not None:
            self._at_page(self.document.add_picture(image=shown, caption=caption))

    def page(self, number: int, width: float, height: float) -> None:
        """What follows stands on this page (1-based); its size in points."""
        from docling_core.types.doc.base import Size

        self._end_lists()
        self._page = number
        self.document.add_page(page_no=number, size=Size(width=width, height=height))

    def _text(self, label: str, text: str) -> None:
        from docling_core.types.doc.labels import DocItemLabel

        if text := clean(text):
            self._end_lists()
            self._at_page(self.document.add_text(DocItemLabel[label], text))

    def _end_lists(self) -> None:
        self._lists.clear()

    def _at_page(self, item: "NodeItem") -> None:
        from docling_core.types.doc.base import BoundingBox
        from docling_core.types.doc.common.reference import ProvenanceItem
        from docling_core.types.doc.items.node import DocItem

        if self._page and isinstance(item, DocItem):
            size = self.document.pages[self._page].size
            box = BoundingBox(l=0, t=0, r=size.width, b=size.height)
            item.prov.append(ProvenanceItem(page_no=self._page, bbox=box, charspan=(0, 0)))


def clean(text: str) -> str:
    """Lines without spaces at their ends, no empty line, no control characters."""
    lines = (" ".join(line.split()) for line in _CONTROLS.sub("", text).split("\n"))
    return "\n".join(line for line in lines if line)


def _placed(rows: Sequence[Sequence[Cell]]) -> "list[TableCell]":
    """The cells at their rows and columns; a cell that spans rows moves those below it to the right."""
    from aegis_dagster.parsing.table_cells import table_cell

    placed: list[TableCell] = []
    taken: dict[int, int] = {}  # column -> the first row that is free again
    for number, row in enumerate(rows):
        column = 0
        for cell in row:
            if cell.column is not None:
                column = cell.column
            while cell.column is None and taken.get(column, 0) > number:
                column += 1
            columns_wide = max(1, min(cell.columns, _MOST_COLUMNS))
            # Far to the right a cell fills no rows below: what follows would be moved on without end.
            is_near = column + columns_wide <= _WIDEST
            rows_high = max(1, min(cell.rows, len(rows) - number)) if is_near else 1
            if rows_high > 1 and cell.column is None:
                taken.update(dict.fromkeys(range(column, column + columns_wide), number + rows_high))
            if text := clean(cell.text):  # docling fills the grid where there is no cell
                placed.append(
                    table_cell(text, number, column, rows=rows_high, columns=columns_wide, header=cell.header)
                )
            column += columns_wide
    return placed
