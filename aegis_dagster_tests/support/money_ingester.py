"""A process that brings the whole root up to date: `python -m ... [parse]`; with `parse`, up to the chunks only."""

import asyncio
import json
import sys

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.stages import Stage
from aegis_dagster.settings import load_settings
from aegis_dagster.stages.registry import STAGES
from aegis_dagster.stages.sync import update_listing

UP_TO_CHUNKS = (Stage.PARSE, Stage.ENRICH, Stage.CHUNK)


async def bring_up(stages: tuple[Stage, ...]) -> dict[str, dict[str, int]]:
    """Run the stages over all documents; the counts of each by status."""
    project = Project(load_settings())
    update_listing(project.source, project.documents, project.guard())
    ended = {}
    async with project.workbench() as bench:
        for stage in stages:
            report = await STAGES[stage](project.documents.all(), bench)
            ended[str(stage)] = {str(status): count for status, count in report.outcomes.items()}
    return ended


if __name__ == "__main__":
    wanted = UP_TO_CHUNKS if sys.argv[1:] == ["parse"] else (*UP_TO_CHUNKS, Stage.GRAPH)
    print(json.dumps(asyncio.run(bring_up(wanted))))
