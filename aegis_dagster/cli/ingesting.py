"""Bringing documents up to date from the command line.

Belongs here: which part of the root is meant, running the Dagster job or the pipeline for it, the summary.
Does not belong here: typer options (`app.py`), the stages.
"""

import asyncio
import glob
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aegis_dagster.cli.output import Bars, err
from aegis_dagster.composition import Project
from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.domain.stages import Document, Status
from aegis_dagster.errors import ConfigurationError, OutsideRoot, ServiceError, UnknownDocument
from aegis_dagster.ports import Progress
from aegis_dagster.settings import Settings, load_settings, remember_root
from aegis_dagster.stages.report import StageReport
from aegis_dagster.stages.upkeep import remove_deleted, update_listing

WORK_KEYS = ("parsed", "pictures_described", "chunked", "chunks_embedded", "chunks_from_cache", "chunks_extracted")


@dataclass(slots=True)
class Ingestion:
    """What one `aegis ingest` did. Also the observer of its Dagster runs."""

    bars: Bars
    reports: list[StageReport] = field(default_factory=list)
    scope: list[Document] = field(default_factory=list)
    deleted: int = 0
    held: str = ""
    started: float = field(default_factory=time.perf_counter)

    def progress(self) -> Progress:
        """Where the stages show how far they are."""
        return self.bars

    def stage_finished(self, report: StageReport) -> None:
        """Keep what a stage did."""
        self.reports.append(report)

    def summary(self, project: Project) -> dict[str, Any]:
        """The JSON contract of `ingest`: where the documents in scope stand now, and the work done."""
        by_status: Counter[Status] = Counter()
        for collection in project.reports.summaries(self.scope):
            by_status.update(collection.by_status)
        work: Counter[str] = Counter()
        for report in self.reports:
            work.update(report.work)
        return {
            "documents": len(self.scope),
            "done": by_status[Status.DONE],
            "failed": by_status[Status.FAILED],
            "skipped": by_status[Status.SKIPPED],
            "deferred": by_status[Status.DEFERRED],
            "pending": by_status[Status.PENDING],
            "deleted": self.deleted,
            "seconds": round(time.perf_counter() - self.started, 3),
            "work": {key: work[key] for key in WORK_KEYS},
            "passed_over": [
                {"path": item.path, "reason": item.reason, "remedy": item.remedy}
                for item in project.documents.passed_over()
            ],
        }


def open_project(paths: Sequence[Path]) -> Project:
    """The project; without a watched root, the first folder given becomes it and is remembered."""
    settings = load_settings()
    if settings.root is None:
        settings = _first_root(settings, paths)
    return Project(settings)


def ingest(project: Project, paths: Sequence[Path], bars: Bars, *, confirm_deletions: bool) -> Ingestion:
    """Bring the whole root, or these parts of it, up to date.

    Raises OutsideRoot, UnknownDocument, RootUnreadable, ServiceError.
    """
    done = Ingestion(bars)
    scopes = _scopes(project, paths)
    files = [scope for scope in scopes if (project.root / scope).is_file()]
    folders = [scope for scope in scopes if scope not in files]
    for scope in folders:
        _bring_up(project, scope, done, confirm_deletions)
    for scope in files:
        _run_pipeline(project, scope, done)
    return done


def run_documents(project: Project, documents: Sequence[Document], bars: Bars) -> Ingestion:
    """Bring just these documents up to date."""
    done = Ingestion(bars, scope=list(documents))
    _run_jobs(project, documents, done)
    return done


def _bring_up(project: Project, scope: str, done: Ingestion, confirm_deletions: bool) -> None:
    listing = update_listing(project.source, project.documents, project.guard(confirmed=confirm_deletions), scope)
    if listing.held_message:
        done.held = listing.held_message
        err.print(f"[yellow]held:[/] {listing.held_message}")
    for item in listing.passed_over:
        err.print(f"[yellow]passed over:[/] {item.path}: {item.reason}. {item.remedy}", markup=True)
    if project.documents.deleted() or project.catalog.garbage():
        done.deleted += asyncio.run(_remove(project, done))
    documents = project.documents.within(scope)
    done.scope.extend(document for document in documents if document not in done.scope)
    _run_jobs(project, project.reports.stale(documents), done)


async def _remove(project: Project, done: Ingestion) -> int:
    async with project.workbench(done.bars) as bench:
        return await remove_deleted(project.documents, bench)


def _run_pipeline(project: Project, scope: str, done: Ingestion) -> None:
    from aegis_dagster.pipeline import IngestionPipeline

    pipeline = IngestionPipeline(project, done.bars)
    asyncio.run(pipeline.run(project.root / scope))
    done.reports.extend(pipeline.reports)
    done.scope.extend(project.documents.get([DocumentId(scope)]))


def _run_jobs(project: Project, stale: Sequence[Document], done: Ingestion) -> None:
    """One Dagster run for each collection that has something to do."""
    if not stale:
        return
    from aegis_dagster.cli.dagster_runs import run_collection

    by_collection: dict[CollectionName, list[Document]] = {}
    for document in stale:
        by_collection.setdefault(document.collection, []).append(document)
    for collection, documents in by_collection.items():
        everything = len(documents) == len(project.documents.all(collection))
        patterns = [] if everything else [glob.escape(document.id) for document in documents]
        failure = run_collection(project, collection, patterns, done)
        if failure:
            raise ServiceError(
                f"The run for collection {collection} failed: {failure}",
                remedy=f"mend what it names and run again; the run is recorded in {project.settings.dagster_home}.",
            )


def _scopes(project: Project, paths: Sequence[Path]) -> list[str]:
    """The paths relative to the root; the root itself is ""."""
    scopes = []
    for path in paths or [project.root]:
        absolute = path.absolute()
        if not absolute.is_relative_to(project.root):
            absolute = path.resolve()
        try:
            relative = absolute.relative_to(project.root)
        except ValueError:
            raise OutsideRoot(
                f"{path} is not below the watched root {project.root}.",
                remedy=f"use a home of its own for it: AEGIS_HOME={_other_home(path)} aegis ingest {path}",
            ) from None
        scope = "" if relative == Path() else relative.as_posix()
        if not absolute.exists() and not project.documents.within(scope):
            raise UnknownDocument(f"There is no {path}.", remedy="check the path.")
        scopes.append(scope)
    return scopes


def _other_home(path: Path) -> str:
    return f".aegis-{path.absolute().name or 'other'}"


def _first_root(settings: Settings, paths: Sequence[Path]) -> Settings:
    if not paths:
        raise ConfigurationError("No watched root is set.", remedy="run `aegis ingest FOLDER` once, or set AEGIS_ROOT.")
    first = next((path for path in paths if path.is_dir()), paths[0])
    if not first.exists():
        raise UnknownDocument(f"There is no {first}.", remedy="check the path.")
    root = first.absolute() if first.is_dir() else first.absolute().parent
    remember_root(settings.home, root)
    err.print(f"{root} is now the watched root of {settings.home}.")
    return settings.model_copy(update={"root": root})
