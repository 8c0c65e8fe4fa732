"""The core and the `ingestion` extra need neither torch nor what brings it, also where it is installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import aegis_dagster
from aegis_dagster_tests.support import bad_files as samples

PACKAGE = Path(aegis_dagster.__file__).parent
# Refuses what only the extra `docling-models` installs, as if it were not there.
REFUSE = """
import importlib, importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "transformers", "accelerate", "docling_ibm_models"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
"""
# Parses the file named in the first argument, says which of the packages in the others were imported.
PARSE = """
import json, tempfile
from aegis_dagster.parsing.tasks import parse_task
limits = dict.fromkeys(("max_pages", "max_megabytes", "max_pictures", "max_picture_megabytes"), 9)
options = {**limits, "pdf_route": "rules", "docling_models": None, "ocr": True}
path, suffix = sys.argv[1], "." + sys.argv[1].rpartition(".")[2]
with tempfile.TemporaryDirectory() as out:
    parse_task({"path": path, "suffix": suffix, "revision": None, "out_dir": out, "options": options})
print(json.dumps([name for name in sys.argv[2:] if name in sys.modules]))
"""


def run(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_module_can_be_imported() -> None:
    modules = [
        ".".join(("aegis_dagster", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for file in sorted(PACKAGE.rglob("*.py"))
        if file.name != "__main__.py" and "migrations" not in file.parts  # those run in Alembic's context
    ]
    assert len(modules) > 150
    assert run(f"{REFUSE}\nfor name in {modules!r}: importlib.import_module(name)\nprint('done')") == "done"


@pytest.mark.parametrize(
    ("name", "data", "loaded"),
    [
        ("notes.txt", b"Some words.\n", []),
        ("page.md", b"# Title\n\nSome words.\n", ["docling"]),
        ("letter.docx", samples.docx(["Some words."]), ["docling"]),
        ("report.pdf", samples.one_page_pdf(), ["docling", "docling_parse"]),
    ],
)
def test_a_worker_loads_what_its_documents_need(tmp_path: Path, name: str, data: bytes, loaded: list[str]) -> None:
    (tmp_path / name).write_bytes(data)
    asked = ("docling", "docling_parse", "pdfplumber", "rapidocr", "onnxruntime", "torch", "transformers")
    assert json.loads(run(REFUSE + PARSE, str(tmp_path / name), *asked)) == loaded
