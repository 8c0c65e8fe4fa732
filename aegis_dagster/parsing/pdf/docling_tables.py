"""Converts our tables to docling's.

Import it inside functions only: it imports docling.
"""

from docling.datamodel.base_models import Cluster
from docling.datamodel.base_models import Table as DoclingTable
from docling_core.types.doc.base import BoundingBox, CoordOrigin
from docling_core.types.doc.items.table.table_data import TableCell

from aegis_dagster.parsing.pdf.tables import Table


def to_docling_table(table: Table, cluster: Cluster, page_no: int) -> DoclingTable:
    """A table element of a page (1-based). The first row is taken for its header."""
    cells = [
        TableCell(
            text=cell.text,
            row_span=cell.rows,
            col_span=cell.columns,
            start_row_offset_idx=cell.row,
            end_row_offset_idx=cell.row + cell.rows,
            start_col_offset_idx=cell.column,
            end_col_offset_idx=cell.column + cell.columns,
            column_header=cell.row == 0,
            bbox=BoundingBox(
                l=cell.rect.left,
                t=cell.rect.top,
                r=cell.rect.right,
                b=cell.rect.bottom,
                coord_origin=CoordOrigin.TOPLEFT,
            ),
        )
        for cell in table.cells
    ]
    return DoclingTable(
        label=cluster.label,
        id=cluster.id,
        page_no=page_no,
        cluster=cluster,
        text="",
        otsl_seq=[],
        num_rows=table.rows,
        num_cols=table.columns,
        table_cells=cells,
    )
