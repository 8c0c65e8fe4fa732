"""`aegis doctor`: what is configured and reachable, which defaults are in use, and how to upgrade."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.table import Table

from aegis_dagster.cli.doctor_models import (
    Finding,
    call_findings,
    embedding_finding,
    examined,
    graph_finding,
    pictures_finding,
    provider_findings,
    tried,
)
from aegis_dagster.cli.output import out
from aegis_dagster.cli.terminal import escape_lines
from aegis_dagster.composition.minilm import device_of
from aegis_dagster.composition.parse_server import examine as examine_server
from aegis_dagster.composition.project import Project, open_to_others
from aegis_dagster.composition.vectors import state_of
from aegis_dagster.device import onnx_card
from aegis_dagster.errors import AegisError, ServiceError
from aegis_dagster.memory import free_memory_mb, free_vram_mb
from aegis_dagster.office import MODULES
from aegis_dagster.settings import config_file
from aegis_dagster.stores.backup import structure_problems
from aegis_dagster.stores.database import engine_in_words, place_of
from aegis_dagster.workers.confinement import Wall, walls_here

_LOCAL_POINTS = {"edge": 200_000, "client": 30_000}  # beyond it a cold search takes 5 s (docs/performance.md)
_NAMED = 50  # collections whose policies are shown
_QUICKLY_READ_MB = 500  # a larger database is left to `aegis audit`
_MOVE_TO_CARD = "For an NVIDIA card pip install 'aegis_dagster[gpu]' (docs/guides/GPU.md)."
_MIN_FREE_GB = 2.0  # artifacts, vectors and the model of a small collection


def examine(*, call: bool = False) -> list[Finding]:
    """Look at every component; call: ask each provider of models for one token, too.

    Each is examined alone: what is broken hides nothing else. With wrong settings nothing else can be examined.
    """
    try:
        project = Project()
    except AegisError as error:
        return [Finding("settings", False, error.message, error.remedy)]
    looks: list[tuple[str, Callable[[Project], Finding | Sequence[Finding]]]] = [
        ("settings", _settings),
        ("watched root", lambda project: tried("watched root", lambda: _root(project))),
        ("home", lambda project: tried("home", lambda: _home(project), _move_home(project))),
        ("database", _database),
        ("collections", _collections),
        ("artifacts", lambda project: tried("artifacts", lambda: _artifacts(project))),
        ("vector store", lambda project: tried("vector store", lambda: _vectors(project), _upgrade_vectors(project))),
        ("Dagster storage", lambda project: tried("Dagster storage", lambda: _runs(project), _move_runs(project))),
        ("device", _device),
        ("parsing", _parsing),
        ("docling-serve", _parse_server),
        ("old office files", _office),
        ("workers", lambda _: tried("workers", _workers)),
        ("Ray", _ray),
        ("containers", _containers),
        ("OCR", _ocr),
        ("picture descriptions", pictures_finding),
        ("embedding", embedding_finding),
        ("graph extraction", graph_finding),
        ("providers", provider_findings),
        *([("calls", call_findings)] if call else []),
        ("paging", _paging),
        ("memory", _memory),
    ]
    return [finding for component, look in looks for finding in examined(component, partial(look, project))]


def print_findings(findings: list[Finding]) -> None:
    """Print the findings as a table."""
    table = Table("component", "", "state", "what it stands in for, how to upgrade")
    for finding in findings:
        mark = "[green]ok[/]" if finding.ok else "[red]!![/]"
        table.add_row(finding.component, mark, escape_lines(finding.state), escape_lines(finding.move_up))
    out.print(table)


def _settings(_: Project) -> Finding:
    return Finding("settings", True, f"{config_file()}" if config_file().is_file() else "defaults and environment", "")


def _root(project: Project) -> str:
    known = project.documents.count()
    if not project.source.holds(""):
        from aegis_dagster.errors import RootUnreadable

        remedy = "mount or create it, or set AEGIS_ROOT."
        raise RootUnreadable(f"{project.watched_root} is not there.", remedy=remedy)
    return f"{project.watched_root}, {known} documents known"


def _move_home(project: Project) -> str:
    return open_to_others(project.settings.home) or "AEGIS_HOME chooses another folder."


def _home(project: Project) -> str:
    home = project.settings.home
    if os.path.lexists(home):
        os.scandir(home).close()  # an error, if it is a file or may not be read
    place = home if home.exists() else Path(home.anchor)
    free = shutil.disk_usage(place).free / 2**30
    if free < _MIN_FREE_GB:
        from aegis_dagster.errors import ServiceError

        raise ServiceError(f"{home} has only {free:.1f} GiB free.", remedy="free space, or move AEGIS_HOME.")
    return f"{home}, {free:.0f} GiB free"


def _database(project: Project) -> Finding:
    move_up = (
        "SQLite stands in for Postgres: AEGIS_DATABASE=postgresql+psycopg2://user:password@host/name; "
        "`aegis move-home` takes what is here along."
    )
    local = project.settings.database_url.startswith("sqlite")

    def look() -> str:
        problems = structure_problems(project.engine, most_megabytes=_QUICKLY_READ_MB)
        if problems:
            place = place_of(project.engine.url)
            raise ServiceError(f"{place.what} is damaged: {problems[0]}.", remedy=place.damaged)
        said = f"{engine_in_words(project.engine)}, {project.documents.count()} documents"
        return said if problems is not None else f"{said}; `aegis audit` tells whether it is damaged"

    return tried("database", look, move_up if local else "")


def _collections(project: Project) -> Finding:
    """The policy of each collection, and whether all settings for collections name existing ones."""
    settings = project.settings
    names = {*settings.collections, *settings.llm.budgets.collections}
    without: list[str] = []

    def look() -> str:
        project.require_exact_names()
        known = [str(name) for name in project.documents.collections()]
        without.extend(sorted(names - set(known)))
        policies = ", ".join(f"{name} ({settings.policy(name).words})" for name in known[:_NAMED])
        rest = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
        listed = f": {policies}{rest}" if known else ""
        return f"{len(known)} known, settings for {len(names)}; by default {settings.default_policy}{listed}"

    found = tried("collections", look)
    if not found.ok or not without:
        return found
    return replace(found, move_up=f"No document is in {', '.join(without)}: are the names in the settings right?")


def _upgrade_vectors(project: Project) -> str:
    if project.settings.qdrant.kind == "server":
        return ""
    return "Qdrant in a folder stands in for a Qdrant server: qdrant.url (docs/guides/QDRANT.md)."


def _vectors(project: Project) -> str:
    kind = project.settings.qdrant.kind
    if kind == "server":
        return state_of(project.settings, project.vectors.model, project.engine)
    points = project.vectors.count()
    slow = "; opening it takes seconds, use a server" if points > _LOCAL_POINTS[kind] else ""
    return f"{project.settings.vectors_dir}, {points} points in {project.settings.qdrant.collection}{slow}"


def _artifacts(project: Project) -> str:
    """Whether results can be written. `aegis audit` reads them."""
    chosen, folder = project.settings.artifacts, project.settings.artifacts_dir
    if chosen.url is not None:
        project.artifacts.check()
        copies = f"up to {chosen.cache_megabytes} MB of copies in {project.settings.artifact_cache_dir}"
        unused = any(folder.glob("[pec]*/*/*"))  # of parse, enrich and chunk
        before = f"; {folder} holds others, which are not used (docs/guides/BUCKET.md)" if unused else ""
        return f"{chosen.url}, written and read; {copies}; `aegis audit` compares all with their checksums{before}"
    if not os.path.lexists(folder):
        return f"{folder}, nothing yet"
    project.artifacts.check()
    return f"{folder}; `aegis audit` compares all of them with their checksums"


def _runs(project: Project) -> str:
    from aegis_dagster.defs.run_metrics import read_runs, storage_in_words

    home = project.settings.dagster_home
    return f"{home}, {storage_in_words(home)}, {sum(read_runs(home).runs.values())} runs recorded"


def _move_runs(project: Project) -> str:
    """What to do where the database is on a server that other hosts use, and Dagster's storage is not."""
    from aegis_dagster.defs.run_metrics import storage_in_words

    settings = project.settings
    file = settings.dagster_home / "dagster.yaml"
    if settings.database_url.startswith("sqlite") or not file.exists() or "SQLite" not in storage_in_words(file.parent):
        return ""
    return f"Other hosts do not see these runs: put `storage` into {file} (docs/guides/POSTGRES.md)."


def _parsing(project: Project) -> Finding:
    move_up = (
        "Layout by rules stands in for docling's models: pip install 'aegis_dagster[docling-models]' and run "
        f"`docling-tools models download -o {project.settings.docling_models_dir}` where the internet is reachable."
        if project.pdf_route == "rules"
        else ""
    )
    what = (
        "PDF layout" if project.settings.parse.route == "local" else "PDF layout of what docling-serve does not parse"
    )
    state = f"docling, {what} by {project.pdf_route}"
    if project.pdf_route == "models":
        return _modules("parsing", ("docling", "torch", "docling_ibm_models"), "docling-models", state)
    return _modules("parsing", ("docling", "pdfplumber"), "ingestion", state, move_up)


def _parse_server(project: Project) -> list[Finding]:
    """Nothing where all is parsed here."""
    if project.settings.parse.route == "local":
        return []
    return [tried("docling-serve", lambda: examine_server(project.settings, project.engine))]


def _device(project: Project) -> Finding:
    """Where models compute. Loads torch where it is installed and a card is there."""
    found = device_of(project.settings)
    if found.card:
        return Finding("device", True, str(found), "")
    return Finding("device", True, f"{found}{f': {found.why}' if found.why else ''}", _MOVE_TO_CARD)


def _ocr(project: Project) -> Finding:
    modules = ("rapidocr", "onnxruntime")
    card = onnx_card(project.settings.device) if importlib.util.find_spec("onnxruntime") else None
    where = "the CPU: onnxruntime here computes on no card" if card is None else f"cuda:{card}"
    return _modules("OCR", modules, "ingestion", f"rapidocr reads scans and pictures on {where}")


def _office(project: Project) -> Finding:
    """Which old formats LibreOffice converts here."""
    office = project.office
    missing = {package: kind for kind, (_, package) in MODULES.items() if office is None or kind not in office.formats}
    move_up = f"To read them: apt-get install --no-install-recommends {' '.join(sorted(missing))}" if missing else ""
    refused = ", ".join(sorted(kind for kind, (_, package) in MODULES.items() if package in missing))
    read = ", ".join(sorted(office.formats)) if office is not None else ""
    state = f"LibreOffice {office.version} converts {read}" if office is not None else "LibreOffice is not installed"
    return Finding("old office files", True, state + (f"; {refused} are refused" if refused else ""), move_up)


def _workers() -> str:
    """What the processes that read documents cannot do on this machine."""
    walls = walls_here()
    barred = {
        "reach the network": Wall.NETWORK in walls or Wall.CALLS in walls,
        "start programs": True,
        "read the memory of other processes or write beside their results": Wall.FILES in walls,
    }
    cannot = ", ".join(what for what, stands in barred.items() if stands)
    can = ", ".join(what for what, stands in barred.items() if not stands)
    return f"cannot {cannot}" + (f"; this kernel or container does not keep them from this: {can}" if can else "")


def _containers(project: Project) -> list[Finding]:
    if project.settings.containers.image is None:
        return []
    from aegis_dagster.cli.doctor_containers import containers_finding

    return [containers_finding(project)]


def _ray(project: Project) -> list[Finding]:
    """The cluster, if workers are there. Its module is imported only then."""
    if project.settings.workers.engine != "ray":
        return []
    from aegis_dagster.cli.doctor_ray import ray_findings

    return ray_findings(project)


def _paging(project: Project) -> Finding:
    """The configured channels. `aegis alerts test` checks whether they work: `aegis doctor` pages nobody."""
    from aegis_dagster.composition.pager import paging_channels
    from aegis_dagster.monitoring.paging.channels import HOW_TO, check_addresses

    channels = paging_channels(project)
    if not channels:
        return Finding("paging", True, "nobody is paged when a check or a run fails", HOW_TO)

    def look() -> str:
        check_addresses(channels)
        waiting = sum(project.alerts.waiting_by_channel().values())
        return f"{', '.join(channel.name for channel in channels)}; {waiting} messages not delivered"

    return tried("paging", look)


def _memory(project: Project) -> Finding:
    free, needed = free_memory_mb(), project.settings.memory_needed_mb
    state = f"{free:.0f} MiB free, {needed} needed; GPU: {free_vram_mb():.0f} MiB free"
    return Finding("memory", free >= needed, state, "" if free >= needed else "End other programs.")


def _modules(component: str, names: tuple[str, ...], extra: str, state: str, move_up: str = "") -> Finding:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        remedy = f"pip install 'aegis_dagster[{extra}]'"
        return Finding(component, False, f"not installed: {', '.join(missing)}", remedy)
    return Finding(component, True, state, move_up)
