"""docling's cells from a place in a grid. Import it inside functions only: it imports docling_core."""

from docling_core.types.doc.base import BoundingBox
from docling_core.types.doc.items.table.table_data import TableCell


def table_cell(
    text: str,
    row: int,
    column: int,
    *,
    rows: int = 1,
    columns: int = 1,
    header: bool = False,
    box: BoundingBox | None = None,
) -> TableCell:
    """The cell at a row and a column (0-based) that is so many rows high and columns wide. header: of its columns."""
    return TableCell(
        text=text,
        row_span=rows,
        col_span=columns,
        start_row_offset_idx=row,
        end_row_offset_idx=row + rows,
        start_col_offset_idx=column,
        end_col_offset_idx=column + columns,
        column_header=header,
        bbox=box,
    )
