"""A process that drives a run on a Ray cluster and says how far it is; a test kills it, or its cluster."""

import asyncio

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import AegisError
from aegis_dagster.stages.registry import STAGES
from aegis_dagster_tests.support.projects import scan


class Said:
    """Prints each document that a stage has done, and waits a moment. Implements `ports.Progress`."""

    def __init__(self) -> None:
        self._done = 0

    def start(self, label: str, total: int) -> None:
        self._done = 0

    def advance(self, label: str, done: int = 1) -> None:
        self._done += done
        print(label, self._done, flush=True)

    def finish(self, label: str) -> None:
        pass


async def drive() -> None:
    """Parse, enrich and chunk."""
    project = Project()
    scan(project)
    async with project.workbench(Said()) as bench:
        documents = project.documents.all()
        for stage in (Stage.PARSE, Stage.ENRICH, Stage.CHUNK):
            await STAGES[stage](documents, bench)


if __name__ == "__main__":
    try:
        asyncio.run(drive())
    except AegisError as error:
        print(error, flush=True)
