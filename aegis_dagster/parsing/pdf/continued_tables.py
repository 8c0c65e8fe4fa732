"""Gives a table that goes on over pages its header on each of them.

Import it inside functions only: it imports docling.
"""

from collections.abc import Iterator

from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.items.picture.picture import PictureItem
from docling_core.types.doc.items.table.table import TableItem
from docling_core.types.doc.items.table.table_data import TableCell
from docling_core.types.doc.items.text import TextItem

_ALIGNED = 6.0  # points
# A table that goes on begins within this share of the page's height from its top, and the first part ends below this.
_TOP = 0.3
_BOTTOM = 0.5
_MOST = 0.6  # share of a column's entries
_MOST_BETWEEN = 3  # lines between two parts
_SHORT = 60  # characters of such a line


def repeat_headers(document: DoclingDocument) -> None:
    """Put the first row of a table above its continuation on the next page, if that does not repeat it."""
    for first, second in list(_neighbours(document)):
        if _goes_on(first, second, document):
            _put_above(_header(first), second)


def _neighbours(document: DoclingDocument) -> Iterator[tuple[TableItem, TableItem]]:
    """Tables with nothing but pictures, furniture and a few short lines between them: sums, "(continued)"."""
    before: TableItem | None = None
    between = 0
    for item, _ in document.iterate_items():
        if isinstance(item, TableItem):
            if before is not None and before.prov and item.prov and between <= _MOST_BETWEEN:
                yield before, item
            before, between = item, 0
        elif not isinstance(item, PictureItem):
            is_short = isinstance(item, TextItem) and len(item.text) <= _SHORT
            between += 1 if is_short else _MOST_BETWEEN + 1


def _goes_on(first: TableItem, second: TableItem, document: DoclingDocument) -> bool:
    above, below = first.prov[-1], second.prov[0]
    pages = document.pages.get(above.page_no), document.pages.get(below.page_no)
    if below.page_no != above.page_no + 1 or pages[0] is None or pages[1] is None:
        return False
    heights = pages[0].size.height, pages[1].size.height
    return (
        above.bbox.to_top_left_origin(heights[0]).b > _BOTTOM * heights[0]
        and below.bbox.to_top_left_origin(heights[1]).t < _TOP * heights[1]
        and _columns_agree(first, second)
        and _texts(first, 0) != _texts(second, 0)
        and _has_header(first)
        and not _differs_from_rest(second)
    )


def _columns_agree(first: TableItem, second: TableItem) -> bool:
    if first.data.num_cols != second.data.num_cols:
        return False
    below = _sides(second)
    return all(
        column in below and any(abs(one - other) <= _ALIGNED for one, other in zip(own, below[column], strict=True))
        for column, own in _sides(first).items()
    )


def _sides(table: TableItem) -> dict[int, tuple[float, float, float]]:
    """Left edge, middle and right edge of each column, by its widest entry."""
    spans: dict[int, tuple[float, float]] = {}
    for cell in table.data.table_cells:
        if cell.bbox is not None and cell.col_span == 1:
            left, right = spans.get(cell.start_col_offset_idx, (cell.bbox.l, cell.bbox.r))
            spans[cell.start_col_offset_idx] = min(left, cell.bbox.l), max(right, cell.bbox.r)
    return {column: (left, (left + right) / 2, right) for column, (left, right) in spans.items()}


def _texts(table: TableItem, row: int) -> dict[int, str]:
    return {
        cell.start_col_offset_idx: " ".join(cell.text.casefold().split())
        for cell in table.data.table_cells
        if cell.start_row_offset_idx == row
    }


def _has_header(table: TableItem) -> bool:
    return _differs_from_rest(table) or not any(_has_digits(text) for text in _texts(table, 0).values())


def _differs_from_rest(table: TableItem) -> bool:
    """Whether the first row has words over a column of numbers."""
    words = {column for column, text in _texts(table, 0).items() if text and not _has_digits(text)}
    rest: dict[int, list[bool]] = {}
    for cell in table.data.table_cells:
        if cell.start_row_offset_idx > 0 and cell.text.strip():
            rest.setdefault(cell.start_col_offset_idx, []).append(_has_digits(cell.text))
    return any(sum(rest.get(column, [])) > _MOST * len(rest.get(column, [])) for column in words)


def _has_digits(text: str) -> bool:
    return any(character.isdigit() for character in text)


def _header(table: TableItem) -> list[TableCell]:
    return [
        cell.model_copy(update={"row_span": 1, "end_row_offset_idx": 1, "bbox": None, "column_header": True})
        for cell in table.data.table_cells
        if cell.start_row_offset_idx == 0
    ]


def _put_above(header: list[TableCell], table: TableItem) -> None:
    """Put a row above the others, or in the place of an empty one."""
    if not any(_texts(table, 0).values()):
        rest = [cell for cell in table.data.table_cells if cell.start_row_offset_idx > 0]
        table.data.table_cells = [*header, *rest]
        return
    for cell in table.data.table_cells:
        cell.start_row_offset_idx += 1
        cell.end_row_offset_idx += 1
        cell.column_header = False
    table.data.table_cells = [*header, *table.data.table_cells]
    table.data.num_rows += 1
