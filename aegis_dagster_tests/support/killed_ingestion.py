"""A run that kills itself just before or after one of its durable writes, for `warm_processes`.

Durable writes are database commits and files that get their final name: a killed run leaves what it had written until
then.
"""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from typing import Any

import sqlalchemy as sa

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.stages import Stage
from aegis_dagster.settings import load_settings
from aegis_dagster.stages.cleanup import tidy_up
from aegis_dagster.stages.registry import STAGES
from aegis_dagster_tests.support.projects import scan
from aegis_dagster_tests.support.tasks_in_process import TasksInProcess

prepare = TasksInProcess.prepare


class Writes:
    """Counts the durable writes of each stage, and kills the process at one of them."""

    def __init__(self, stage: str, number: int) -> None:
        """number: from 1; 0: none."""
        self.counted: Counter[str] = Counter()
        self.current = ""
        self._at = (stage, number)

    def watch(self, engine: sa.Engine) -> None:
        """Count from now on until the process ends."""
        sa.event.listen(engine, "commit", lambda connection: self._count())
        sys.addaudithook(self._seen)

    def _seen(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename":
            self._count()

    def _count(self) -> None:
        self.counted[self.current] += 1
        if (self.current, self.counted[self.current]) == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


async def bring_up(writes: Writes) -> dict[str, Any]:
    """All stages over all documents: durable writes by stage, and what was computed."""
    project = Project(load_settings(), tasks=TasksInProcess())
    writes.watch(project.engine)
    scan(project)
    work: Counter[str] = Counter()
    async with project.workbench() as bench:
        await tidy_up(project.documents, bench)
        for stage in Stage:
            writes.current = str(stage)
            work.update((await STAGES[stage](project.documents.all(), bench)).work)
        writes.current = ""
    return {"writes": writes.counted, "work": work}


def main(stage: str = "", number: str = "0") -> None:
    """Entry point of a forked process."""
    print(json.dumps(asyncio.run(bring_up(Writes(stage, int(number))))))
