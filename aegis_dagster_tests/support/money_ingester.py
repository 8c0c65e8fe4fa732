"""A process that brings the whole root up to date, for `warm_processes`; `parse`: up to the chunks only."""

import asyncio
import json

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.stages import Stage
from aegis_dagster.settings import load_settings
from aegis_dagster.stages.registry import STAGES
from aegis_dagster.stages.sync import update_listing
from aegis_dagster_tests.support import money_caller
from aegis_dagster_tests.support.tasks_in_process import TasksInProcess

UP_TO_CHUNKS = (Stage.PARSE, Stage.ENRICH, Stage.CHUNK)


def prepare() -> None:
    """Once for all processes."""
    money_caller.prepare()
    TasksInProcess.prepare()


async def bring_up(stages: tuple[Stage, ...]) -> dict[str, dict[str, int]]:
    """Run the stages over all documents; the counts of each by status."""
    project = Project(load_settings(), tasks=TasksInProcess())
    update_listing(project.source, project.documents, project.guard())
    ended = {}
    async with project.workbench() as bench:
        for stage in stages:
            report = await STAGES[stage](project.documents.all(), bench)
            ended[str(stage)] = {str(status): count for status, count in report.outcomes.items()}
    return ended


def main(wanted: str = "") -> None:
    """Entry point of a forked process."""
    stages = UP_TO_CHUNKS if wanted == "parse" else (*UP_TO_CHUNKS, Stage.GRAPH)
    print(json.dumps(asyncio.run(bring_up(stages))))
