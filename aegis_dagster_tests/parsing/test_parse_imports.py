"""What the parse task imports for text and Markdown: a worker pays for it before its first file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
from aegis_dagster.parsing.tasks import parse_task
options = {
    "max_pages": 9, "max_megabytes": 9, "max_pictures": 9, "max_picture_megabytes": 9,
    "pdf_route": "rules", "docling_models": None, "ocr": False,
}
path, suffix, out_dir = sys.argv[1:]
parse_task({"path": path, "suffix": suffix, "revision": None, "out_dir": out_dir, "options": options})
print(json.dumps(sorted(sys.modules)))
"""
HEAVY = {"bs4", "docling", "docling_parse", "dagster", "lxml", "marko", "onnxruntime", "pypdfium2", "requests", "torch"}
PLAIN = "Report\n======\n\nFirst paragraph.\n\n- one\n- two\n\n::\n\n    code\n"
MARKED = "# Report\n\nThe *first* [part](x.md) of `it`.\n\n- one\n- two\n\n```python\nprint(1)\n```\n\n<your-token>\n"


@pytest.mark.parametrize(
    ("suffix", "text", "heavy"),
    [
        (".txt", PLAIN, set()),
        (".md", MARKED, {"docling", "marko"}),
        (".md", f"{MARKED}\n<b>a page</b>\n", {"bs4", "docling", "lxml", "marko", "requests"}),
    ],
)
def test_a_text_imports_what_reads_it(suffix: str, text: str, heavy: set[str], tmp_path: Path) -> None:
    (tmp_path / f"a{suffix}").write_text(text, "utf-8")
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / f"a{suffix}"), suffix, str(tmp_path / "out")]
    modules = json.loads(subprocess.run(command, capture_output=True, check=True, text=True, timeout=120).stdout)
    assert {name.partition(".")[0] for name in modules} & HEAVY == heavy
    assert any(name.startswith("docling.backend") for name in modules) == ("bs4" in heavy)
