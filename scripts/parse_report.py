"""Parse every file of a folder and print route, pages, seconds and text recall against expected Markdown.

Usage: .venv/bin/python scripts/parse_report.py [DOCUMENTS] [EXPECTED]   (default: ../shared/corpora)
"""

import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

from aegis_dagster.errors import DocumentError
from aegis_dagster.parsing.identity import choose_pdf_route
from aegis_dagster.parsing.tasks import parse_task

_WORDS = re.compile(r"\w+")
_CORPORA = Path(__file__).parents[2] / "shared" / "corpora"


def text_recall(expected: str, found: str) -> float:
    """Share of the expected words (lower case, counted) that were found; 1.0 where none are expected."""
    wanted = Counter(_WORDS.findall(expected.lower()))
    got = Counter(_WORDS.findall(found.lower()))
    return sum((wanted & got).values()) / sum(wanted.values()) if wanted else 1.0


def parse_file(path: Path, out_dir: Path) -> tuple[dict[str, Any], str]:
    """Manifest and Markdown of one file, headers, footers and comments included. Raises DocumentError."""
    from docling_core.types.doc.common.content_layer import ContentLayer
    from docling_core.types.doc.document import DoclingDocument

    models = Path(".aegis/models/docling")
    options = {
        "max_pages": 1000,
        "max_megabytes": 200,
        "max_pictures": 2000,
        "max_picture_megabytes": 500,
        "pdf_route": choose_pdf_route("auto", models),
        "docling_models": str(models),
        "ocr": True,
    }
    manifest = parse_task(
        {
            "path": str(path),
            "suffix": path.suffix.lower(),
            "revision": None,
            "out_dir": str(out_dir),
            "options": options,
        }
    )
    document = DoclingDocument.load_from_json(out_dir / "document.json")
    return manifest, document.export_to_markdown(included_content_layers=set(ContentLayer))


def main(documents: Path, expected: Path) -> None:
    """Print the table."""
    recalls = []
    print(f"{'file':42} {'route':14} {'pages':>5} {'ocr':>3} {'tab':>3} {'pic':>3} {'seconds':>7} {'recall':>6}")
    for path in sorted(path for path in documents.rglob("*") if path.is_file()):
        with tempfile.TemporaryDirectory() as folder:
            try:
                manifest, text = parse_file(path, Path(folder))
            except DocumentError as error:
                print(f"{path.name:42} {error.code}: {error}")
                continue
        truth = expected / f"{path.name}.expected.md"
        recall = text_recall(truth.read_text("utf-8"), text) if truth.is_file() else None
        recalls += [recall] if recall is not None else []
        counts = "{pages:5} {ocr_pages:3} {tables:3} {pictures:3} {seconds:7.2f}".format(**manifest)
        shown = f"{recall:6.3f}" if recall is not None else "     -"
        print(f"{path.name:42} {manifest['route']:14} {counts} {shown} {' '.join(manifest['warnings'])[:100]}")
    if recalls:
        print(f"median recall {median(recalls):.3f} over {len(recalls)} files")


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:3]]
    main(*(given + [_CORPORA / "documents", _CORPORA / "expected"][len(given) :]))
