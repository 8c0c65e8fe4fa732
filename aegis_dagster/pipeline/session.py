"""The session that the nodes of one pipeline run share, and the way a node runs a stage."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from aegis_dagster.composition.project import Project, open_project
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import Document, Stage, Status
from aegis_dagster.errors import UnknownDocument
from aegis_dagster.pipeline.state import PROGRESS, STATUS_KEYS, STATUS_WORDS, IngestionState
from aegis_dagster.settings import load_settings, normalized, remember_root
from aegis_dagster.stages.cleanup import tidy_up
from aegis_dagster.stages.context import Workbench
from aegis_dagster.stages.registry import STAGES
from aegis_dagster.stages.sync import update_listing


@dataclass(frozen=True, slots=True)
class Session:
    """The state that the nodes of one run share."""

    project: Project
    bench: Workbench


current_session: ContextVar[Session | None] = ContextVar("aegis_pipeline_session", default=None)


def project_for(path: Path) -> Project:
    """The project of the settings. Without a watched root, the file's folder becomes the root and is remembered."""
    settings = load_settings()
    if settings.root is None:
        if not path.is_file():
            raise UnknownDocument(f"There is no file {path}.", remedy="check the path.")
        root = normalized(path).parent
        remember_root(settings.home, root)
        settings = settings.model_copy(update={"root": root})
    return open_project(settings)


@asynccontextmanager
async def session_for(path: Path) -> AsyncIterator[Session]:
    """The run's session, or a new one for a node that is called alone."""
    session = current_session.get()
    if session is not None:
        yield session
        return
    project = project_for(path)
    async with project.workbench() as bench:
        yield Session(project, bench)


async def take_in(session: Session, path: Path) -> DocumentId:
    """Record the file at a path in the catalog. Raises OutsideRoot, UnknownDocument, RootUnreadable."""
    project = session.project
    document_id = DocumentId(project.scope_of(path))
    await asyncio.to_thread(update_listing, project.source, project.documents, project.guard(), document_id)
    await tidy_up(project.documents, session.bench)
    if not project.documents.get([document_id]):
        raise project.not_a_document(document_id)
    return document_id


async def run_stage(
    session: Session,
    state: IngestionState,
    node: str,
    stage: Stage,
    read: Callable[[Path, Mapping[str, Any]], dict[str, Any]],
) -> IngestionState:
    """Run a stage for the state's document and return its new status in the catalog."""
    document = _document(session, state)
    await STAGES[stage]([document], session.bench)
    known = session.project.states.one(document)
    mine = known.recorded.get(stage)
    # A stage that was not reached because of an earlier one is skipped for this run.
    current = mine is not None and mine.fingerprint == known.wanted[stage]
    status = mine.status if mine is not None and current else Status.SKIPPED
    update: dict[str, Any] = {STATUS_KEYS[stage]: STATUS_WORDS[status]}
    problems = (
        [f"{mine.failure.code}: {mine.failure.message} Remedy: {mine.failure.remedy}"] if mine and mine.failure else []
    )
    if mine is not None and mine.status is Status.DONE:
        update |= read(session.bench.artifacts.path(stage, known.wanted[stage]), mine.facts)
    return advanced(state, node, problems, update)


def _document(session: Session, state: IngestionState) -> Document:
    document_id = state["document_id"] or session.project.scope_of(Path(state["document_path"]))
    found = session.project.documents.get([DocumentId(document_id)])
    if not found:
        raise session.project.not_a_document(DocumentId(document_id))
    return found[0]


def fingerprints_of(session: Session, state: IngestionState) -> Mapping[Stage, str]:
    """The document's expected fingerprint at each stage."""
    return session.project.states.one(_document(session, state)).wanted


def advanced(state: IngestionState, node: str, problems: list[str], update: dict[str, Any]) -> IngestionState:
    """The state after a node: its update, its progress, its errors."""
    errors = {**state["errors"], **({node: problems} if problems else {})}
    progress = state["overall_progress"] + PROGRESS[node]
    return cast(IngestionState, {**state, **update, "errors": errors, "overall_progress": progress})
