"""Worker processes that can be killed, are recycled, and have limits of time and memory.

Docling's own `document_timeout=3` returned after 22.5 s (notes/docling.md), so a limit holds only if the process can be
killed. Each has an environment without secrets and a folder of its own for temporary files; what else confines it,
it does itself (`confinement.py`) before it takes a task.
"""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aegis_dagster.errors import ConfigurationError, DocumentError, FailureCode, ServiceError
from aegis_dagster.office import Office
from aegis_dagster.process_identity import new_folder, remove_folders_of_the_dead
from aegis_dagster.workers.processes import template_for_pool
from aegis_dagster.workers.worker import Worker


class WorkerPool:
    """Runs tasks in up to `workers` processes, started when first needed."""

    def __init__(
        self,
        *,
        workers: int,
        memory_mb: int,
        temporary: Path | None = None,
        writable: Sequence[Path] = (),
        office: Office | None = None,
        load: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """temporary: where each worker gets a folder that goes with it; None: in the system's.

        writable: the folders that results are written to; none: a worker may write anywhere.
        office: converts old office files; None: they are refused.
        load: the options of each task whose needs are loaded before the first worker for it is there.
        """
        self.workers = workers
        self._memory_mb = memory_mb
        self._memory_bytes = memory_mb * 1024 * 1024
        self._temporary = temporary or Path(tempfile.gettempdir())
        self._writable = writable
        self._office = office
        self._load = load or {}
        self._template, self._own_template = template_for_pool()
        remove_folders_of_the_dead(self._temporary)
        self._slots = asyncio.Semaphore(workers)
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._starting: set[asyncio.Future[Worker]] = set()
        self._closed = False

    async def run(self, task: str, payload: dict[str, Any], *, timeout_seconds: float) -> dict[str, Any]:
        """Run a task in a free worker; waits for one.

        Raises DocumentError: the task's own, or TIMEOUT, MEMORY_LIMIT, WORKER_CRASHED; those kill the worker, and a new
        one takes its place. ServiceError when the disk is full, or the pool was closed meanwhile, e.g. by stopping a
        run: no document is to blame for that. ConfigurationError when the task cannot work for any document.
        """
        async with self._slots:
            worker = await self._waiting() or await self._started(task)
            self._busy.add(worker)
            healthy = False
            try:
                answer = await worker.ask(task, payload, timeout_seconds, self._memory_bytes)
                healthy = True
            except DocumentError:
                if self._closed:
                    raise _ended() from None
                raise
            finally:
                self._busy.discard(worker)
                if healthy and not worker.above(self._memory_bytes // 2):
                    self._idle.append(worker)
                else:
                    await worker.kill()
        return result_of(answer)

    async def _waiting(self) -> Worker | None:
        """A worker that is there already. One that was killed while nobody asked it is no document's fault."""
        while self._idle:
            worker = self._idle.pop()
            if worker.is_there():
                return worker
            await worker.kill()
        return None

    async def _started(self, task: str) -> Worker:
        """A new worker. A start during which its task is cancelled, or the pool is closed, is finished first.

        A process that is given up while it starts could not be ended here.
        """
        if self._closed:
            raise _ended()
        starting, cancelled = asyncio.ensure_future(self._start(task)), False
        self._starting.add(starting)
        while not starting.done():
            try:
                await asyncio.wait({starting})
            except asyncio.CancelledError:
                cancelled = True
        self._starting.discard(starting)
        worker = starting.result()
        if not cancelled and not self._closed:
            return worker
        await worker.kill()
        if cancelled:
            raise asyncio.CancelledError
        raise _ended()

    async def _start(self, task: str) -> Worker:
        try:
            for place in self._writable:
                place.mkdir(parents=True, exist_ok=True)
            folder = new_folder(self._temporary)
            writable = [str(place) for place in (folder, *self._writable)] if self._writable else []
            confinement: dict[str, Any] = {"memory_mb": self._memory_mb, "writable": writable}
            if self._office is not None:
                confinement["office"] = {**asdict(self._office), "formats": sorted(self._office.formats)}
            load = {task: self._load[task]} if task in self._load else {}
            return await Worker.start(self._template, folder, confinement, load)
        except OSError as error:
            raise ServiceError(
                f"A worker process cannot be started: {error.strerror or error}.",
                remedy=f"free space on the disk of {self._temporary} and memory, and make that folder writable; "
                "the step is tried again.",
            ) from error

    async def close(self) -> None:
        """End every worker; their tasks end with ServiceError."""
        self._closed = True
        for worker in [*self._idle, *self._busy]:
            await worker.kill()
        for starting in list(self._starting):
            await asyncio.wait({starting})
            if starting.exception() is None:
                await starting.result().kill()
        self._idle.clear()
        self._busy.clear()
        if self._own_template:
            await asyncio.to_thread(self._template.close)


def _ended() -> ServiceError:
    return ServiceError(
        "The worker processes were ended while they worked.", remedy="nothing to do: the next run goes on."
    )


def result_of(answer: dict[str, Any]) -> dict[str, Any]:
    """What a task returned. Raises the error that ended it: DocumentError, ServiceError or ConfigurationError."""
    if service := answer.get("service_error"):
        raise ServiceError(service["message"], remedy=service["remedy"])
    if operator := answer.get("operator_error"):
        raise ConfigurationError(operator["message"], remedy=operator["remedy"])
    if error := answer.get("error"):
        raise DocumentError(
            FailureCode(error["code"]), error["message"], remedy=error["remedy"], retryable=error["retryable"]
        ) from (RuntimeError(error["said"]) if error["said"] else None)
    result: dict[str, Any] = answer["result"]
    return result
