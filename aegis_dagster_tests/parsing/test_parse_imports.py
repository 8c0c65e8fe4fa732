"""What the parse task imports for text and Markdown: a worker pays for it before its first file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
from aegis_dagster.parsing.tasks import load, parse_task
options = {
    "max_pages": 9, "max_megabytes": 9, "max_pictures": 9, "max_picture_megabytes": 9,
    "pdf_route": "rules", "docling_models": None, "ocr": False,
}
path, suffix, out_dir, loaded = sys.argv[1:]
if loaded:
    load(options)
before = set(sys.modules)
parse_task({"path": path, "suffix": suffix, "revision": None, "out_dir": out_dir, "options": options})
print(json.dumps(sorted(set(sys.modules) - before if loaded else sys.modules)))
"""
HEAVY = {"bs4", "docling", "docling_parse", "dagster", "lxml", "marko", "onnxruntime", "pypdfium2", "requests", "torch"}
PLAIN = "Report\n======\n\nFirst paragraph.\n\n- one\n- two\n\n::\n\n    code\n"
MARKED = "# Report\n\nThe *first* [part](x.md) of `it`.\n\n- one\n- two\n\n```python\nprint(1)\n```\n\n<your-token>\n"


def imported(folder: Path, suffix: str, text: str, *, loaded: bool = False) -> list[str]:
    """The modules of a process that has parsed the text; if it was forked from one that had them, those it adds."""
    (folder / f"a{suffix}").write_text(text, "utf-8")
    (folder / "out").mkdir()
    arguments = [str(folder / f"a{suffix}"), suffix, str(folder / "out"), "yes" if loaded else ""]
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=120)
    return list(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("suffix", "text", "heavy"),
    [
        (".txt", PLAIN, set()),
        (".md", MARKED, {"docling", "marko"}),
        (".md", f"{MARKED}\n<b>a page</b>\n", {"bs4", "docling", "lxml", "marko", "requests"}),
    ],
)
def test_a_text_imports_what_reads_it(suffix: str, text: str, heavy: set[str], tmp_path: Path) -> None:
    modules = imported(tmp_path, suffix, text)
    assert {name.partition(".")[0] for name in modules} & HEAVY == heavy
    assert any(name.startswith("docling.backend") for name in modules) == ("bs4" in heavy)


@pytest.mark.parametrize(("suffix", "text"), [(".txt", PLAIN), (".md", MARKED)])
def test_a_forked_worker_imports_nothing_for_a_text(suffix: str, text: str, tmp_path: Path) -> None:
    assert imported(tmp_path, suffix, text, loaded=True) == []
