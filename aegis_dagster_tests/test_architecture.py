"""Imports go down one table only, and the definitions import little."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from aegis_dagster_tests.support.imported import imported_by

PACKAGE = Path(__file__).parents[1] / "aegis_dagster"

BASE = {"errors"}
DOMAIN = {"domain", *BASE}
PORTS = {"ports", *DOMAIN}
ADAPTERS = {"chunking", "embedding", "extraction", "llm", "parsing", "pictures", "sources", "stores", "workers"}
BELOW_COMPOSITION = {
    *PORTS,
    *ADAPTERS,
    "device",
    "environment",
    "office",
    "pins",
    "process_identity",
    "progress",
    "remote",
    "settings",
    "stages",
}
BELOW_SHELLS = {"composition", "memory", "monitoring", "planning", *BELOW_COMPOSITION}

# Which parts of the package each part may import, besides itself.
ALLOWED: dict[str, set[str]] = {
    "__init__": {"environment"},
    "environment": set(),
    "errors": set(),
    "device": {"environment", *BASE},
    "memory": BASE,
    "office": set(),
    "opening": set(),
    "pins": set(),
    "process_identity": set(),
    "progress": set(),
    "domain": BASE,
    "settings": DOMAIN,
    "ports": DOMAIN,
    "stages": PORTS,
    "monitoring": {"stores", *PORTS},
    **{adapter: {*PORTS, "pins"} for adapter in ADAPTERS},
    "embedding": {*PORTS, "device"},
    "pictures": {*PORTS, "device", "pins"},
    "remote": BASE,
    "stores": {*PORTS, "pins", "process_identity", "remote"},
    "workers": {*PORTS, "device", "environment", "office", "process_identity"},
    "parsing": {*PORTS, "device", "office", "pins", "opening"},
    "sources": {*PORTS, "opening", "pins", "process_identity", "remote"},
    "composition": {"monitoring", *BELOW_COMPOSITION},
    **{name: {"composition", *BELOW_COMPOSITION} for name in ("search", "digests", "planning")},
    "pipeline": {"composition", "memory", *BELOW_COMPOSITION},
    "defs": BELOW_SHELLS,
    "definitions": {"defs", "environment"},
    "cli": {"search", "digests", "definitions", "defs", *BELOW_SHELLS},
}

MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(module: str) -> str:
    """aegis_dagster.stores.catalog.claims -> stores"""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports_of(file: Path) -> set[str]:
    """Every module a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_layer_may(file: Path) -> None:
    part = part_of("aegis_dagster." + str(file.relative_to(PACKAGE)).removesuffix(".py").replace("/", "."))
    own = {part_of(name) for name in imports_of(file) if name.startswith("aegis_dagster.")}
    assert own - {part} <= ALLOWED.get(part, set())


def test_only_the_definitions_and_what_starts_their_jobs_import_dagster() -> None:
    users = {
        str(file.relative_to(PACKAGE))
        for file in MODULES
        if any(n.split(".")[0] == "dagster" for n in imports_of(file))
    }
    assert {name for name in users if not name.startswith("defs/")} == {"definitions.py", "cli/dagster_runs.py"}


def test_only_the_settings_read_the_environment() -> None:
    readers = {str(file.relative_to(PACKAGE)) for file in MODULES if "os.environ" in file.read_text("utf-8")}
    assert readers == {"settings/__init__.py", "settings/keys.py", "environment.py"}


def test_every_module_says_what_belongs_in_it() -> None:
    silent = [str(file.relative_to(PACKAGE)) for file in MODULES if file.stat().st_size and not _docstring(file)]
    assert silent == []


def _docstring(file: Path) -> str | None:
    return ast.get_docstring(ast.parse(file.read_text("utf-8")))


HEAVY = "docling docling_core torch transformers onnxruntime rapidocr qdrant_client pandas litellm langgraph cv2 scipy"


@pytest.mark.parametrize(("module", "most"), [("definitions", 1_400), ("cli.app", 320)])
def test_the_definitions_and_the_command_import_nothing_heavy_and_not_much(module: str, most: int) -> None:
    imported = imported_by(f"import aegis_dagster.{module}")
    assert imported & set(HEAVY.split()) == set()
    assert len(imported) < most  # 1,214 and 268 in the end of 2026; each takes about a millisecond


def test_what_runs_are_forked_from_has_one_thread_and_nothing_heavy() -> None:
    script = (
        "import importlib, os, sys\nfrom aegis_dagster.defs.preloaded import PRELOADED\n"
        "for name in PRELOADED: importlib.import_module(name)\n"
        "print(len(os.listdir('/proc/self/task')), *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=200)
    threads, *imported = done.stdout.split()
    assert threads == "1"  # a lock that another one holds would stay locked in the fork
    assert set(imported) & {*HEAVY.split(), "numpy"} == set()
