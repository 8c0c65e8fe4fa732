"""One way to parse bytes, as a worker does."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from docling_core.types.doc.common.content_layer import ContentLayer
from docling_core.types.doc.document import DoclingDocument

from aegis_dagster.parsing.tasks import parse_task


@dataclass(frozen=True)
class Parsed:
    """What a parse left behind."""

    manifest: dict[str, Any]
    folder: Path

    @property
    def document(self) -> DoclingDocument:
        return DoclingDocument.load_from_json(self.folder / "document.json")

    @property
    def markdown(self) -> str:
        return self.document.export_to_markdown(included_content_layers=set(ContentLayer))


Parse = Callable[..., Parsed]


@pytest.fixture
def parse(tmp_path: Path) -> Parse:
    """`parse(data, name, **options)`: parse bytes under a file name into a folder of their own."""
    count = 0

    def run(data: bytes, name: str, **changes: Any) -> Parsed:
        nonlocal count
        count += 1
        source = tmp_path / f"in-{count}" / name
        source.parent.mkdir()
        source.write_bytes(data)
        return parse_path(source, tmp_path / f"out-{count}", **changes)

    return run


def parse_path(source: Path, out_dir: Path, *, revision: str | None = None, **changes: Any) -> Parsed:
    """Parse a file by rules with OCR, unless `changes` say otherwise."""
    out_dir.mkdir()
    options = {
        "max_pages": 1000,
        "max_megabytes": 200,
        "max_pictures": 2000,
        "max_picture_megabytes": 500,
        "pdf_route": "rules",
        "docling_models": None,
        "ocr": True,
        **changes,
    }
    payload = {
        "path": str(source),
        "suffix": source.suffix.lower(),
        "revision": revision,
        "out_dir": str(out_dir),
        "options": options,
    }
    return Parsed(parse_task(payload), out_dir)
