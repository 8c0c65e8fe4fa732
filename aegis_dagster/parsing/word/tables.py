"""Makes docling read every cell of a table: a grid with all its columns, and no text under merged cells."""

from typing import Final

from lxml import etree

from aegis_dagster.domain.left_out import Reason
from aegis_dagster.parsing.word.names import (
    CELL,
    ROW,
    TABLE,
    VAL,
    Element,
    P,
    W,
    detach,
    new_paragraph,
    number,
    text_of,
)
from aegis_dagster.parsing.word.revisions import Revisions

_GRID: Final = W + "tblGrid"
_WIDEST: Final = 63  # columns that Word allows: no span is wider


def mend_tables(root: Element, revisions: Revisions, place: str) -> None:
    """Mend all tables of a part. docling drops cells that the grid has no column for, and tables without a grid."""
    for table in list(root.iter(TABLE)):
        columns = max((_columns(row) for row in table.iterchildren(ROW)), default=0)
        if not columns:
            detach(table)  # all its rows are deleted
            continue
        grid = table.find(_GRID)
        if grid is None:
            grid = etree.Element(_GRID)
            properties = table.find(W + "tblPr")
            if properties is not None:
                properties.addnext(grid)
            else:
                table.insert(0, grid)
        for _ in range(columns - len(grid)):
            etree.SubElement(grid, W + "gridCol")
        _mend_merged(table, revisions, place)
        _write_description(table)


def _columns(row: Element) -> int:
    before = row.find(f"{W}trPr/{W}gridBefore")
    return _span(before, 0) + sum(_span(cell.find(f"{W}tcPr/{W}gridSpan"), 1) for cell in row.iterchildren(CELL))


def _span(element: Element | None, default: int) -> int:
    """A span, not wider than Word allows, which is written back."""
    span = number(element)
    if element is None:
        return default
    span = min(max(span or default, default), _WIDEST)
    element.set(VAL, str(span))
    return span


def _mend_merged(table: Element, revisions: Revisions, place: str) -> None:
    """A cell that continues the one above shows no text; one that continues nothing stands for itself."""
    if next(table.iter(W + "vMerge"), None) is None:
        return
    is_open: dict[int, bool] = {}
    for row in table.iterchildren(ROW):
        column = _span(row.find(f"{W}trPr/{W}gridBefore"), 0)
        for cell in row.iterchildren(CELL):
            merge = cell.find(f"{W}tcPr/{W}vMerge")
            continues = merge is not None and merge.get(VAL, "continue") == "continue"
            if continues and is_open.get(column):
                for block in [child for child in cell if child.tag in (P, TABLE)]:
                    if text := text_of(block):
                        revisions.leave_out(Reason.HIDDEN_TEXT, place, text)
                        cell.replace(block, new_paragraph(""))
            elif continues:
                merge.getparent().remove(merge)
            is_open[column] = merge is not None and (not continues or is_open.get(column, False))
            column += _span(cell.find(f"{W}tcPr/{W}gridSpan"), 1)


def _write_description(table: Element) -> None:
    """The alternative text of a table goes in front of it."""
    said = [node for name in ("tblCaption", "tblDescription") for node in table.findall(f"{W}tblPr/{W}{name}")]
    texts = dict.fromkeys(node.get(VAL, "").strip() for node in said)
    for node in said:
        detach(node)
    if text := ". ".join(text for text in texts if text):
        table.addprevious(new_paragraph(f"[Table: {text}]"))
