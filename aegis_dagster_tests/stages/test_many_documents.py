"""What the phases of an ingestion ask of the database and the disk grows in batches, not with each document."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from aegis_dagster.composition.damage import reset_lost_points
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.progress import Silent
from aegis_dagster.stages.cleanup import sweep_artifacts, tidy_up
from aegis_dagster.stages.context import StageReport
from aegis_dagster.stages.registry import STAGES
from aegis_dagster_tests.support.counting import database_work, opened_below
from aegis_dagster_tests.support.projects import make_project, scan, write_documents
from aegis_dagster_tests.support.ready_made import Instant, ReadyMade

PASSAGES = 3


def project_of(folder: Path, documents: int) -> Project:
    names = [f"c/{number:04}.txt" for number in range(documents)]
    settings = make_project(folder, collections={"c": {"graph": False}}).settings
    write_documents(folder / "root", names, paragraphs=0)
    return Project(settings, tasks=ReadyMade(PASSAGES))


class Counted(Silent):
    """Remembers the progress of the stages."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.done: dict[str, int] = {}

    def start(self, label: str, total: int) -> None:
        self.totals[label], self.done[label] = total, 0

    def advance(self, label: str, done: int = 1) -> None:
        self.done[label] += done


async def run_stages(project: Project, progress: Silent, *, planned_at_once: int = 5000) -> dict[Stage, StageReport]:
    async with project.workbench(progress) as bench:
        embedder, options = bench.embedder, replace(bench.options, planned_at_once=planned_at_once)
        bench = replace(bench, embedder=Instant(embedder.model, embedder.dimensions, 64), options=options)
        await tidy_up(project.documents, bench)
        documents = project.documents.all()
        return {stage: await STAGES[stage](documents, bench) for stage in Stage}


def look(project: Project) -> int:
    """All that a command does before it knows whether there is work, and after it; how many documents have work."""
    scan(project, confirmed=True)
    reset_lost_points(project, Silent())
    work = project.reports.stale(project.artifacts.listed(), project.documents.within(""))
    sweep_artifacts(project.catalog, project.artifacts)
    return len(work)


def asked_by_phase(folder: Path, documents: int) -> dict[str, tuple[int, int]]:
    """Statements and opened files of the artifact store, in each phase of a folder with so many documents."""
    project, found = project_of(folder, documents), dict[str, tuple[int, int]]()
    files: Sequence[Path] = sorted((folder / "root" / "c").iterdir())

    def counted(phase: str, expected: int) -> None:
        with database_work() as work, opened_below(project.artifacts.root) as opened:
            assert look(project) == expected
        found[f"{phase}: look"] = (len(work.statements), opened.count("open"))
        if expected or phase == "deleted":
            with database_work() as work, opened_below(project.artifacts.root) as opened:
                asyncio.run(run_stages(project, Silent()))
                look(project)
            found[f"{phase}: work"] = (len(work.statements), opened.count("open"))

    counted("cold", documents)
    counted("nothing", 0)
    for file in files[3::8]:
        file.write_text(f"{file.name} was edited.")
    counted("edited", documents // 8)
    for file in files[5::8]:
        file.unlink()
    counted("deleted", 0)
    assert project.vectors.count() == (documents - documents // 8) * PASSAGES
    assert project.reports.embedded_points() == project.vectors.count()
    project.close()
    return found


def test_the_phases_ask_the_database_in_batches(tmp_path: Path) -> None:
    few, many = asked_by_phase(tmp_path / "few", 16), asked_by_phase(tmp_path / "many", 80)
    assert many.keys() == few.keys()
    for phase in ("cold: look", "nothing: look", "edited: look", "deleted: look", "deleted: work"):
        assert many[phase][0] == few[phase][0] <= 90, phase  # the first one makes the tables, too
    assert many["nothing: look"][1] == many["deleted: look"][1] == 0  # the folders were listed, nothing was read
    assert many["deleted: work"][1] - few["deleted: work"][1] <= 2 * 8  # the folders that go, of parse and chunk
    for phase, more in (("cold: work", 64), ("edited: work", 8)):
        statements, opened = (many[phase][place] - few[phase][place] for place in (0, 1))
        assert statements <= 30 * more, (phase, statements)  # of all five stages together
        assert opened <= 40 * more, (phase, opened)


@pytest.mark.parametrize("planned_at_once", [7, 5000])
def test_documents_that_are_planned_in_parts_are_all_done_and_counted(tmp_path: Path, planned_at_once: int) -> None:
    project = project_of(tmp_path, 20)
    scan(project)
    reports = asyncio.run(run_stages(project, progress := Counted(), planned_at_once=planned_at_once))
    assert {report.documents for report in reports.values()} == {20}
    assert reports[Stage.EMBED].outcomes == {Status.DONE: 20}
    assert progress.done == progress.totals and progress.totals[Stage.PARSE] == 20
    for file in list((tmp_path / "root" / "c").iterdir())[:3]:
        file.write_text(f"{file.name} was edited.")
    scan(project)
    reports = asyncio.run(run_stages(project, progress := Counted(), planned_at_once=planned_at_once))
    assert [(report.up_to_date, report.blocked) for report in reports.values()] == [(17, 0)] * 5
    assert progress.done[Stage.PARSE] == progress.totals[Stage.PARSE]
    assert project.vectors.count() == 20 * PASSAGES
    project.close()
