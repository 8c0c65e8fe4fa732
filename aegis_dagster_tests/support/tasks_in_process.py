"""Runs the tasks of worker processes in this process, for tests that are not about the processes."""

import asyncio
from importlib import import_module
from threading import Lock
from typing import Any

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.workers.child import TASKS, answer
from aegis_dagster.workers.pool import result_of

_one_at_a_time = Lock()  # as in a worker


class TasksInProcess:
    """Replaces the worker pool: no limits of time or memory, and no processes."""

    async def run(self, task: str, payload: dict[str, Any], *, timeout_seconds: float) -> dict[str, Any]:
        return result_of(await asyncio.to_thread(self._answer, {"task": task, "payload": payload}))

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        with _one_at_a_time:
            return answer(request)

    @staticmethod
    def prepare() -> None:
        """Import what tasks on texts need."""
        for task in ("parse", "chunk"):
            import_module(TASKS[task].partition(":")[0])


class InProcessResource(ProjectResource):
    """Opens projects whose tasks run in this process."""

    def open(self) -> Project:
        project = super().open()
        return Project(project.settings, tasks=TasksInProcess())
