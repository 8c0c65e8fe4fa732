"""Brings documents up to date from the command line."""

import asyncio
import glob
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from aegis_dagster.cli.output import err
from aegis_dagster.cli.terminal import escape
from aegis_dagster.composition.damage import reset_lost_points
from aegis_dagster.composition.languages import language_warning
from aegis_dagster.composition.project import Project
from aegis_dagster.composition.project import open_project as open_checked
from aegis_dagster.domain.collection_names import as_written
from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.domain.stages import ARTIFACT_STAGES, Document, Stage, Status
from aegis_dagster.errors import ConfigurationError, FailureCode, UnknownDocument
from aegis_dagster.memory import free_memory_mb, memory_shortage
from aegis_dagster.ports import Progress
from aegis_dagster.remote.hang_guard import Patience
from aegis_dagster.settings import (
    Settings,
    as_url,
    load_settings,
    normalized,
    refuse_secrets,
    remember_root,
    watched_root,
)
from aegis_dagster.stages.cleanup import sweep_artifacts, tidy_up
from aegis_dagster.stages.context import StageReport
from aegis_dagster.stages.sync import update_listing

_LOOKED_AT = 200  # documents
_DAMAGED_CODES = (FailureCode.ARTIFACT_DAMAGED, FailureCode.CHUNKING_FAILED)

WORK_KEYS = ("parsed", "pictures_described", "chunked", "chunks_embedded", "chunks_from_cache", "chunks_extracted")


@dataclass(slots=True)
class Ingestion:
    """The work of one `aegis ingest`. It is also the observer of its Dagster runs."""

    shown: Progress
    reports: list[StageReport] = field(default_factory=list)
    scope: list[Document] = field(default_factory=list)
    deleted: int = 0
    held: str = ""
    ignored: int = 0  # hidden and temporary names
    failed_runs: list[str] = field(default_factory=list)
    failed_checks: list[str] = field(default_factory=list)  # failed cost checks, worst first
    # How many documents of each path are in each status; None where a run has worked on some since.
    surveys: list[Counter[Status] | None] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def cover(self, documents: Sequence[Document]) -> None:
        """Add documents to the scope, each once."""
        known = {document.id for document in self.scope}
        self.scope.extend(document for document in documents if document.id not in known)

    def progress(self) -> Progress:
        """Where the stages show their progress."""
        return self.shown

    def stage_finished(self, report: StageReport) -> None:
        """Keep the report of a stage."""
        self.reports.append(report)

    def waiting(self) -> list[dict[str, Any]]:
        """Why documents were deferred at a stage, and how many."""
        found: Counter[tuple[str, str]] = Counter()
        for report in self.reports:
            for why, count in report.deferred.items():
                found[report.stage, why] += count
        return [{"stage": stage, "why": why, "documents": count} for (stage, why), count in sorted(found.items())]

    def summary(self, project: Project) -> dict[str, Any]:
        """The JSON contract of `ingest`: the status of the documents in scope, and the work done."""
        by_status = self._by_status(project)
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
            "failed_runs": self.failed_runs,
            "failed_checks": self.failed_checks,
            "waiting": self.waiting(),
            "held": self.held,
            "warnings": [told] if work["chunked"] and (told := language_warning(project)) else [],
            "ignored": self.ignored,
            "passed_over": [item.to_json() for item in project.documents.passed_over()],
        }

    def _by_status(self, project: Project) -> Counter[Status]:
        if len(self.surveys) == 1 and self.surveys[0] is not None:  # a second pass takes seconds where there are many
            return self.surveys[0]
        by_status: Counter[Status] = Counter()
        for collection in project.reports.summaries(self.scope):
            by_status.update(collection.by_status)
        return by_status


def open_project(paths: Sequence[Path]) -> Project:
    """The project. Without a watched root, the first folder given becomes the root and is remembered."""
    for path in paths:
        refuse_secrets(path)
    settings = load_settings()
    if settings.root is not None:
        return open_checked(settings)
    patience = Patience(str(paths[0]) if paths else "", seconds=settings.listing.patience_seconds)
    return open_checked(patience.ask(lambda: _first_root(settings, paths)))


def ingest(
    project: Project,
    paths: Sequence[Path],
    progress: Progress,
    *,
    confirm_deletions: bool = False,
    force_from: Stage | None = None,
) -> Ingestion:
    """Bring the whole root, or these parts of it, up to date; force_from: repeat from this stage on.

    A run that fails is kept in `failed_runs`; the other collections go on. Raises OutsideRoot,
    UnknownDocument, RootUnreadable, ServiceError.
    """
    done, since = Ingestion(progress), project.clock.now()
    project.look_at_parse_server()
    scopes = [_scope(project, path) for path in paths] or [""]
    for name in project.names_without_folder():
        told = f"The settings name a collection {as_written(name)}; no folder has this name."
        err.print(f"[yellow]warning:[/] {escape(told)}")
    for scope in scopes:
        _bring_up(project, scope, done, confirm_deletions, force_from)
    done.failed_checks = failed_cost_checks(project, since)
    return done


def retry(project: Project, documents: Sequence[Document], progress: Progress) -> Ingestion:
    """Bring only these documents up to date, and ask again for what no model read to its end."""
    done, since = Ingestion(progress), project.clock.now()
    done.cover(documents)
    first: dict[DocumentId, Stage] = {}
    for item in project.reports.incomplete(documents):  # pictures before chunks
        first.setdefault(item.document_id, item.stage)
    groups: dict[Stage | None, dict[CollectionName, list[str]]] = {}
    for document in documents:
        group = groups.setdefault(first.get(document.id), {})
        group.setdefault(document.collection, []).append(document.id)
    for force_from, by_collection in groups.items():
        _run_jobs(project, by_collection, done, force_from)
    done.failed_checks = failed_cost_checks(project, since)
    return done


def forget_damaged(project: Project, documents: Sequence[Document]) -> None:
    """Delete the artifacts of documents that failed because one is unreadable: they are created again."""
    damaged = {item.document_id for item in project.reports.failures(documents) if item.failure.code in _DAMAGED_CODES}
    for state in project.states.of([document for document in documents if document.id in damaged]):
        for stage in ARTIFACT_STAGES:
            if stage in state.recorded:
                project.artifacts.delete(stage, state.recorded[stage].fingerprint)
        err.print(f"{escape(state.document.id)} is parsed again: its stored result could not be read.")


def _bring_up(project: Project, scope: str, done: Ingestion, confirm_deletions: bool, force_from: Stage | None) -> None:
    single_file = project.source.is_file(scope)
    if (
        single_file
        and force_from is None
        and (shortage := memory_shortage(free_memory_mb(), project.settings.memory_needed_mb))
    ):
        raise shortage
    listing = update_listing(project.source, project.documents, project.guard(confirmed=confirm_deletions), scope)
    project.require_exact_names()
    done.ignored += listing.ignored
    if listing.held_message:
        done.held = listing.held_message
        err.print(f"[yellow]held:[/] {escape(listing.held_message)}")
    for item in listing.passed_over:
        err.print(f"[yellow]passed over:[/] {escape(item.path)}: {item.reason}. {escape(item.remedy)}")
    lost = reset_lost_points(project, done.shown)
    if lost:
        err.print(f"[yellow]vectors of {len(lost)} documents are missing:[/] they are published again from the cache.")
    if project.documents.deleted() or not project.vectors.exists():
        done.deleted += asyncio.run(_tidy_up(project, done))
    documents = project.documents.within(scope)
    if single_file and not documents:
        raise project.not_a_document(DocumentId(scope))
    done.cover(documents)
    stale, by_status = project.reports.survey(project.artifacts.listed(), documents if scope else None)
    work = documents if force_from else stale
    done.surveys.append(None if work else by_status)
    patterns = _patterns(scope, documents)
    with project.workers_kept(load_now=_is_parsed(project, work)):
        _run_jobs(project, {document.collection: patterns for document in work}, done, force_from)
    sweep_artifacts(project.catalog, project.artifacts)


def _is_parsed(project: Project, work: Sequence[Document]) -> bool:
    """Whether one of the first documents with work is to be parsed: workers load what that takes beside Dagster."""
    return any(state.work(Stage.PARSE) for state in project.states.of(work[:_LOOKED_AT]))


def _patterns(scope: str, documents: Sequence[Document]) -> list[str]:
    """The run config that selects a part of a collection, or all of it if the scope is the whole collection.

    documents: those in the scope. A mail has what is attached to it below it.
    """
    if any(document.id == scope for document in documents):
        return [scope, f"{glob.escape(scope)}/**"][: 2 if len(documents) > 1 else 1]
    return [] if "/" not in scope else [f"{glob.escape(scope)}/**"]


async def _tidy_up(project: Project, done: Ingestion) -> int:
    async with project.workbench(done.shown) as bench:
        return await tidy_up(project.documents, bench)


def _run_jobs(
    project: Project,
    work: Mapping[CollectionName, Sequence[str]],
    done: Ingestion,
    force_from: Stage | None = None,
) -> None:
    """One Dagster run for each collection with work; `work` holds the documents to which each run is limited."""
    if not work:
        return
    from aegis_dagster.cli.dagster_runs import run_collections
    from aegis_dagster.defs.ingestion.config import IngestOptions, force_choice

    chosen = {
        collection: IngestOptions(documents=list(patterns), force_from=force_choice(force_from), scan_root=False)
        for collection, patterns in work.items()
    }
    for collection, failure in run_collections(project, chosen, done):
        done.failed_runs.append(f"The run for collection {collection} failed: {failure}")


def failed_cost_checks(project: Project, since: datetime) -> list[str]:
    """The failures of the cost checks, worst first: "error: openai_under_limit: openai: 20.00 USD spent ...".

    They run only if a model was asked at or after `since`, or documents wait: Dagster takes over a second to import.
    """
    if not project.choices.providers:
        return []
    from aegis_dagster.stores.ledger.audit import LedgerAudit

    if not LedgerAudit(project.engine).asked_since(since) and not project.reports.put_off():
        return []
    from aegis_dagster.cli.dagster_runs import run_cost_checks

    return run_cost_checks(project)


def _scope(project: Project, path: Path) -> str:
    """The path relative to the root; the root itself is ""."""
    scope = project.scope_of(path)
    if not project.source.holds(scope) and not project.documents.within(scope):
        raise UnknownDocument(f"There is no {path}.", remedy="check the path.")
    return scope


def _first_root(settings: Settings, paths: Sequence[Path]) -> Settings:
    if not paths:
        raise ConfigurationError("No watched root is set.", remedy="run `aegis ingest FOLDER` once, or set AEGIS_ROOT.")
    first = next((path for path in paths if path.is_dir()), paths[0])
    root = watched_root(as_url(first) or (normalized(first) if first.is_dir() else normalized(first).parent))
    if isinstance(root, Path) and not first.exists():
        raise UnknownDocument(f"There is no {first}.", remedy="check the path.")
    remember_root(settings.home, root)
    err.print(escape(f"{root} is now the watched root of {settings.home}."))
    return settings.model_copy(update={"root": root})
