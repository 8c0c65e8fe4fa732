"""Projects on temporary folders, with text documents that parse in milliseconds."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.domain.stages import Stage, StageState
from aegis_dagster.settings import Settings
from aegis_dagster.settings.stages import ListingSettings
from aegis_dagster.stages.cleanup import tidy_up
from aegis_dagster.stages.context import StageReport
from aegis_dagster.stages.registry import STAGES
from aegis_dagster.stages.sync import ListingReport, update_listing
from aegis_dagster_tests.support.tasks_in_process import TasksInProcess

TOPICS = ("harbour", "lighthouse", "tide gauge", "ferry", "cable", "storm", "survey", "pilot", "dredger", "anchor")


def write_documents(root: Path, names: Sequence[str], *, paragraphs: int = 4) -> None:
    """Text documents with headings; the text of each depends on its name only."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document_text(name, paragraphs), "utf-8")


def document_text(name: str, paragraphs: int = 4) -> str:
    """A heading and paragraphs about topics that depend on the name."""
    parts = [f"Report {name}\n{'=' * (len(name) + 7)}\n"]
    for number in range(paragraphs):
        topic = TOPICS[(len(name) + number * 3 + sum(map(ord, name))) % len(TOPICS)]
        parts.append(
            f"Section {number}\n---------\n\nThe {topic} of {name} was inspected by Priya Raman in part {number}. "
            f"Kestrel Bay Instruments repaired the {topic} and wrote to the Harbour Authority of Eastmere about it.\n"
        )
    return "\n".join(parts)


def make_project(folder: Path, **settings: object) -> Project:
    """A project with its home and root below `folder`; no wait for files written just now, no worker processes."""
    root = folder / "root"
    root.mkdir(parents=True, exist_ok=True)
    values: Mapping[str, object] = {
        "home": folder / "home",
        "root": root,
        "listing": ListingSettings(settle_seconds=0),
        **settings,
    }
    return Project(Settings.model_validate(values), tasks=TasksInProcess())


async def bring_up(
    project: Project,
    *,
    stages: Sequence[Stage] = tuple(Stage),
    collection: str | None = None,
    force: bool = False,
    confirmed: bool = False,
) -> dict[Stage, StageReport]:
    """Scan, remove, and run the stages, as every orchestration does."""
    scan(project, confirmed=confirmed)
    async with project.workbench() as bench:
        await tidy_up(project.documents, bench)
        documents = project.documents.all(CollectionName(collection) if collection else None)
        return {stage: await STAGES[stage](documents, bench, force=force) for stage in stages}


def recorded(project: Project) -> dict[DocumentId, Mapping[Stage, StageState]]:
    """The states of every document at the stages it has reached."""
    return {state.document.id: state.recorded for state in project.states.of(project.documents.all())}


def scan(project: Project, *, confirmed: bool = False) -> ListingReport:
    """Bring the catalog's list up to date."""
    return update_listing(project.source, project.documents, project.guard(confirmed=confirmed))


def work_of(reports: Mapping[Stage, StageReport]) -> dict[str, int]:
    """The work that was really computed."""
    return {name: count for report in reports.values() for name, count in report.work.items() if count}
