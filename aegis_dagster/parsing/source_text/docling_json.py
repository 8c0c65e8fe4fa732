"""The text of documents that docling wrote as JSON: every text and every cell."""

import json
from collections.abc import Iterator

from aegis_dagster.domain.left_out import Piece


def read(data: bytes, kind: str) -> Iterator[Piece]:
    """One piece for all texts, one for each table."""
    values = json.loads(data)
    yield Piece("texts", "\n".join(item["text"] for item in values.get("texts", ())))
    for number, table in enumerate(values.get("tables", ()), 1):
        yield Piece(f"table {number}", "\n".join(cell["text"] for cell in table["data"]["table_cells"]))
