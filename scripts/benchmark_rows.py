"""How many rows of the filings' tables stay whole: the label and its number on one line of a chunk.

    .venv/bin/python -m scripts.benchmark_rows [FOLDER] [--misses]   (default: ../shared/corpora/filings)

A row is a line of `pdftotext -layout` (package poppler-utils) where a text stands before a number, two or more
spaces, dots or a currency sign apart; `aegis_dagster_tests/parsing/rows.py` says when it is whole. Prints rows and
their share, headings, CPU seconds of parsing and the peak memory of a process that parses nothing else; with --misses
also the headings and the rows that are not whole.
"""

import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from aegis_dagster.chunking.tasks import chunk_task
from aegis_dagster.embedding.model_files import tokenizer_file
from aegis_dagster.parsing.tasks import parse_task
from aegis_dagster.settings import load_settings
from aegis_dagster_tests.parsing.rows import is_whole, rows_of, tokens

_FILINGS = Path(__file__).parents[2] / "shared" / "corpora" / "filings"


def main(folder: Path, *, show_misses: bool) -> None:
    """Print the table."""
    rows_in_all = whole_in_all = 0
    print(f"{'file':42} {'rows':>5} {'whole':>6} {'headings':>8} {'chunks':>6} {'CPU s':>6} {'MiB':>5}")
    for path in sorted(folder.glob("*.pdf")):
        command = ["pdftotext", "-layout", str(path), "-"]
        rows = rows_of(subprocess.run(command, check=True, capture_output=True).stdout.decode("utf-8"))
        with multiprocessing.get_context("spawn").Pool(1) as fresh:  # so that each document has its own peak
            chunks, headings, seconds, peak = fresh.apply(read, (path,))
        lines = [tokens(line) for chunk in chunks for line in chunk["text"].splitlines()]
        misses = [row for row in rows if not is_whole(row, lines)]
        whole = len(rows) - len(misses)
        rows_in_all, whole_in_all = rows_in_all + len(rows), whole_in_all + whole
        share = f"{whole / max(1, len(rows)):.3f}"
        print(f"{path.name:42} {len(rows):5} {share:>6} {len(headings):8} {len(chunks):6} {seconds:6.1f} {peak:5}")
        if show_misses:
            print("\n".join(f"    # {heading}" for heading in headings))
            print("\n".join(f"    {row.label}  {row.number}" for row in misses))
    print(f"{whole_in_all} of {rows_in_all} rows are whole: {whole_in_all / max(1, rows_in_all):.3f}")


def read(path: Path) -> tuple[list[dict[str, Any]], list[str], float, int]:
    """A document's chunks, its headings, CPU seconds of parsing and chunking, and peak memory in MiB."""
    settings = load_settings()
    with tempfile.TemporaryDirectory() as folder:
        parsed, chunked = Path(folder, "parsed"), Path(folder, "chunked")
        parsed.mkdir()
        chunked.mkdir()
        started = time.process_time()
        options = {
            **{name: getattr(settings.parse, name) for name in ("max_pages", "max_megabytes")},
            **{name: getattr(settings.parse, name) for name in ("max_pictures", "max_picture_megabytes")},
            "pdf_route": "rules",
            "docling_models": None,
            "ocr": True,
        }
        source = {"path": str(path), "suffix": path.suffix, "revision": None}
        parse_task({**source, "out_dir": str(parsed), "options": options})
        split = {"max_tokens": 220, "merge_peers": True, "tokenizer": str(tokenizer_file(settings.model_cache))}
        chunk_task(
            {"parse_dir": str(parsed), "out_dir": str(chunked), "descriptions": [], "plain": False, "options": split}
        )
        seconds = time.process_time() - started
        chunks = json.loads((chunked / "chunks.json").read_text("utf-8"))
        document = json.loads((parsed / "document.json").read_text("utf-8"))
    headings = [item["text"] for item in document["texts"] if item["label"] in ("section_header", "title")]
    return chunks, headings, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    main(given[0] if given else _FILINGS, show_misses="--misses" in sys.argv)
