"""Documents that end soon after each other are claimed and recorded together, and a slow one keeps none waiting."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.errors import ServiceError
from aegis_dagster.stages.enrich import enrich_images
from aegis_dagster.stages.parse import parse_documents
from aegis_dagster_tests.support.counting import database_work, opened_below
from aegis_dagster_tests.support.projects import make_project, recorded, scan
from aegis_dagster_tests.support.tasks_in_process import TasksInProcess
from aegis_dagster_tests.support.waiting import until


class Held(TasksInProcess):
    """Tasks of which one waits until it is let go, or breaks the run."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.let_go = asyncio.Event()
        self._name, self._error = name, error

    async def run(self, task: str, payload: dict[str, Any], *, timeout_seconds: float) -> dict[str, Any]:
        if payload["path"].endswith(self._name):
            await self.let_go.wait()
            if self._error is not None:
                raise self._error
        return await super().run(task, payload, timeout_seconds=timeout_seconds)


def texts(project: Project, number: int) -> None:
    for index in range(number):
        (project.root / f"{index:03}.txt").write_text(f"Word {index}.")


def statuses(project: Project) -> dict[DocumentId, Status]:
    return {name: states[Stage.PARSE].status for name, states in recorded(project).items() if Stage.PARSE in states}


async def test_what_ends_at_once_costs_a_few_transactions_and_no_look_into_its_files(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    texts(project, 60)
    scan(project)
    async with project.workbench() as bench:
        await parse_documents(project.documents.all(), bench)
        documents = project.documents.all()
        with database_work() as work, opened_below(project.artifacts.root) as opened:
            report = await enrich_images(documents, bench)
    assert report.outcomes == {Status.SKIPPED: 60}
    assert work.commits < 20
    assert opened == []


async def test_an_outcome_is_recorded_while_another_document_takes_long(tmp_path: Path) -> None:
    tasks = Held("000.txt")
    project = Project(make_project(tmp_path).settings, tasks=tasks)
    texts(project, 6)
    scan(project)
    async with project.workbench() as bench:
        parsing = asyncio.ensure_future(parse_documents(project.documents.all(), bench))
        await asyncio.to_thread(until, lambda: list(statuses(project).values()).count(Status.DONE) == 5)
        assert statuses(project)[DocumentId("000.txt")] is Status.RUNNING
        tasks.let_go.set()
        assert (await parsing).outcomes == {Status.DONE: 6}


async def test_a_broken_service_costs_no_outcome_and_holds_no_document(tmp_path: Path) -> None:
    tasks = Held("000.txt", ServiceError("The disk is full.", remedy="free space."))
    project = Project(make_project(tmp_path).settings, tasks=tasks)
    texts(project, 6)
    scan(project)
    async with project.workbench() as bench:
        parsing = asyncio.ensure_future(parse_documents(project.documents.all(), bench))
        await asyncio.to_thread(until, lambda: bench.reports and bench.reports[0].work["parsed"])
        tasks.let_go.set()
        with pytest.raises(ServiceError, match="disk is full"):
            await parsing
    found = list(statuses(project).values())
    assert found.count(Status.DONE) == bench.reports[0].work["parsed"] > 0
    assert Status.RUNNING not in found
