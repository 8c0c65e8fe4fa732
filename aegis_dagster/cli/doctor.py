"""`aegis doctor`: what is configured, reachable, a stand-in, and how to move up.

Belongs here: one finding a component. Does not belong here: repairing anything.
"""

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from aegis_dagster.cli.output import out
from aegis_dagster.composition import Project
from aegis_dagster.embedding.model_files import model_dir
from aegis_dagster.errors import AegisError
from aegis_dagster.memory import free_memory_mb, free_vram_mb
from aegis_dagster.settings import config_file

_LOCAL_POINTS = 30_000  # beyond it a cold search takes longer than 5 s (docs/performance.md)
_MIN_FREE_GB = 2.0  # artifacts, vectors and the model of a small collection


@dataclass(frozen=True, slots=True)
class Finding:
    """One component."""

    component: str
    ok: bool
    state: str  # what is configured and whether it answers
    move_up: str  # what the default stands in for, and how to get more; "" where there is nothing above

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def examine() -> list[Finding]:
    """Look at every component. Raises ConfigurationError when the settings themselves are wrong."""
    project = Project()
    return [
        Finding("settings", True, f"{config_file()}" if config_file().is_file() else "defaults and environment", ""),
        _tried("watched root", lambda: _root(project), ""),
        _tried("home", lambda: _home(project), "AEGIS_HOME chooses another folder."),
        _tried("database", lambda: _database(project), "SQLite stands in for Postgres (a later release)."),
        _tried("vector store", lambda: _vectors(project), "Qdrant in local mode stands in for a Qdrant server."),
        _parsing(project),
        _modules("OCR", ("rapidocr", "onnxruntime"), "rapidocr reads scans and pictures", ""),
        _modules(
            "picture descriptions",
            ("rapidocr",),
            "the text in a picture, by OCR",
            "OCR stands in for a vision model, which describes charts and photos (a later release).",
        ),
        _embedding(project),
        Finding(
            "graph extraction",
            True,
            f"statistical ({project.extractor.name})",
            "Key phrases and co-occurrence stand in for a language model (a later release).",
        ),
        _memory(project),
    ]


def print_findings(findings: list[Finding]) -> None:
    """A table for people."""
    table = Table("component", "", "state", "what it stands in for, how to move up")
    for finding in findings:
        mark = "[green]ok[/]" if finding.ok else "[red]!![/]"
        table.add_row(finding.component, mark, escape(finding.state), escape(finding.move_up))
    out.print(table)


def _tried(component: str, look: Callable[[], str], move_up: str) -> Finding:
    try:
        return Finding(component, True, look(), move_up)
    except AegisError as error:
        return Finding(component, False, error.message, error.remedy)


def _root(project: Project) -> str:
    known = len(project.documents.known())
    if not project.root.is_dir():
        from aegis_dagster.errors import RootUnreadable

        raise RootUnreadable(f"{project.root} is not there.", remedy="mount or create it, or set AEGIS_ROOT.")
    return f"{project.root}, {known} documents known"


def _home(project: Project) -> str:
    home = project.settings.home
    place = home if home.exists() else Path(home.anchor)
    free = shutil.disk_usage(place).free / 2**30
    if free < _MIN_FREE_GB:
        from aegis_dagster.errors import ServiceError

        raise ServiceError(f"{home} has only {free:.1f} GiB free.", remedy="free space, or move AEGIS_HOME.")
    return f"{home}, {free:.0f} GiB free"


def _database(project: Project) -> str:
    return f"{project.engine.dialect.name}, {len(project.documents.collections())} collections"


def _vectors(project: Project) -> str:
    points = project.vectors.count()
    slow = "; opening it takes seconds now, a server is due" if points > _LOCAL_POINTS else ""
    return f"{project.settings.qdrant_dir}, {points} points in {project.settings.qdrant.collection}{slow}"


def _parsing(project: Project) -> Finding:
    move_up = (
        "Layout by rules stands in for docling's models: run "
        f"`docling-tools models download -o {project.settings.docling_models_dir}` where the internet is reachable."
        if project.pdf_route == "rules"
        else ""
    )
    return _modules("parsing", ("docling", "pdfplumber"), f"docling, PDF layout by {project.pdf_route}", move_up)


def _embedding(project: Project) -> Finding:
    folder = model_dir(project.settings.model_cache)
    exported = (folder / "model.onnx").is_file()
    state = f"{project.settings.embed.model} in {folder}" if exported else "not exported yet: the first run does it"
    return Finding("embedding", True, state, "MiniLM stands in for larger models of providers (a later release).")


def _memory(project: Project) -> Finding:
    free, needed = free_memory_mb(), project.settings.memory_needed_mb
    state = f"{free:.0f} MiB free, {needed} needed; GPU: {free_vram_mb():.0f} MiB free"
    return Finding("memory", free >= needed, state, "" if free >= needed else "End other programs.")


def _modules(component: str, names: tuple[str, ...], state: str, move_up: str) -> Finding:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        remedy = "pip install 'aegis_dagster[ingestion]'"
        return Finding(component, False, f"not installed: {', '.join(missing)}", remedy)
    return Finding(component, True, state, move_up)
