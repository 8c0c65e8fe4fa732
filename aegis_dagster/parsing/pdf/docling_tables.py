"""Converts our tables to docling's.

Import it inside functions only: it imports docling.
"""

from docling.datamodel.base_models import Cluster
from docling.datamodel.base_models import Table as DoclingTable
from docling_core.types.doc.base import BoundingBox, CoordOrigin

from aegis_dagster.parsing.pdf.tables import Table
from aegis_dagster.parsing.table_cells import table_cell


def to_docling_table(table: Table, cluster: Cluster, page_no: int) -> DoclingTable:
    """A table element of a page (1-based). The first row is taken for its header."""
    cells = [
        table_cell(
            cell.text,
            cell.row,
            cell.column,
            rows=cell.rows,
            columns=cell.columns,
            header=cell.row == 0,
            box=BoundingBox(
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
