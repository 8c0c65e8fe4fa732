"""Worker processes that can be killed, are recycled, and have limits of time and memory.

Docling's own `document_timeout=3` returned after 22.5 s (notes/docling.md), so a limit holds only if the process can be
killed. Each has an environment without secrets and a folder of its own for temporary files; what else confines it,
it does itself (`confinement.py`) before it takes a task.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import psutil

from aegis_dagster.environment import worker_environment
from aegis_dagster.errors import ConfigurationError, DocumentError, FailureCode, ServiceError
from aegis_dagster.office import Office
from aegis_dagster.process_identity import new_folder, remove_folders_of_the_dead

_POLL_SECONDS = 0.25  # between two checks of a busy worker's memory
_LAST_WORDS = 2000  # bytes of a crashed worker's stderr that are read
_LINE_LIMIT = 64 * 1024 * 1024  # bytes of one answer


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
    ) -> None:
        """temporary: where each worker gets a folder that goes with it; None: in the system's.

        writable: the folders that results are written to; none: a worker may write anywhere.
        office: converts old office files; None: they are refused.
        """
        self.workers = workers
        self._memory_mb = memory_mb
        self._memory_bytes = memory_mb * 1024 * 1024
        self._temporary = temporary or Path(tempfile.gettempdir())
        self._writable = writable
        self._office = office
        remove_folders_of_the_dead(self._temporary)
        self._slots = asyncio.Semaphore(workers)
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._starting: set[asyncio.Future[_Worker]] = set()
        self._closed = False

    async def run(self, task: str, payload: dict[str, Any], *, timeout_seconds: float) -> dict[str, Any]:
        """Run a task in a free worker; waits for one.

        Raises DocumentError: the task's own, or TIMEOUT, MEMORY_LIMIT, WORKER_CRASHED; those kill the worker, and a new
        one takes its place. ServiceError when the disk is full, or the pool was closed meanwhile, e.g. by stopping a
        run: no document is to blame for that. ConfigurationError when the task cannot work for any document.
        """
        async with self._slots:
            worker = self._idle.pop() if self._idle else await self._started()
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

    async def _started(self) -> "_Worker":
        """A new worker. A start during which its task is cancelled, or the pool is closed, is finished first.

        A process that is given up while it starts could not be ended here; and where the event loop ends meanwhile,
        asyncio would wait for its pipes for ever (CPython 3.11, `BaseSubprocessTransport._try_finish`).
        """
        starting, cancelled = asyncio.ensure_future(self._start()), False
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

    async def _start(self) -> "_Worker":
        try:
            for place in self._writable:
                place.mkdir(parents=True, exist_ok=True)
            folder = new_folder(self._temporary)
            writable = [str(place) for place in (folder, *self._writable)] if self._writable else []
            confinement: dict[str, Any] = {"memory_mb": self._memory_mb, "writable": writable}
            if self._office is not None:
                confinement["office"] = {**asdict(self._office), "formats": sorted(self._office.formats)}
            return await _Worker.start(folder, confinement)
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


class _Worker:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process, errors: IO[bytes], folder: Path) -> None:
        self._process = process
        self._errors = errors
        self._folder = folder

    @staticmethod
    async def start(folder: Path, confinement: dict[str, Any]) -> "_Worker":
        # A file, because a full pipe that nobody reads would block a library that prints a lot. It has no name, and
        # `kill` closes it.
        errors: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open as long as the process
        return _Worker(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the working directory may be a folder of documents that contains a json.py
                "-m",
                "aegis_dagster.workers.child",
                json.dumps(confinement),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                umask=0o077,  # what it writes, e.g. the text of a document, is for this user alone
                limit=_LINE_LIMIT,
                env=worker_environment(folder),
                start_new_session=True,  # a group of its own: what it starts is killed with it
            ),
            errors,
            folder,
        )

    async def ask(
        self, task: str, payload: dict[str, Any], timeout_seconds: float, memory_bytes: int
    ) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"task": task, "payload": payload}).encode() + b"\n")
        with contextlib.suppress(ConnectionError):
            await self._process.stdin.drain()
        answer = asyncio.ensure_future(self._process.stdout.readline())
        try:
            line = await self._watch(answer, timeout_seconds, memory_bytes)
        finally:
            answer.cancel()
        if not line:
            code = await self._process.wait()
            raise DocumentError(
                FailureCode.WORKER_CRASHED,
                f"The worker process ended with code {code} while it worked on this document.",
                remedy="`aegis retry` tries again; if it crashes again, convert or split the file.",
                retryable=True,
            ) from (RuntimeError(words) if (words := self._last_words()) else None)
        try:
            result: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise _unreadable_answer() from error
        return result

    async def _watch(self, answer: "asyncio.Future[bytes]", timeout_seconds: float, memory_bytes: int) -> bytes:
        waited = 0.0
        while True:
            await asyncio.wait([answer], timeout=_POLL_SECONDS)
            if answer.done():
                try:
                    return answer.result()
                except ValueError as error:  # longer than a line may be
                    raise _unreadable_answer() from error
            waited += _POLL_SECONDS
            if waited >= timeout_seconds:
                raise DocumentError(
                    FailureCode.TIMEOUT,
                    f"Not finished after {timeout_seconds:g} s; the worker was ended.",
                    remedy="raise the stage's timeout_seconds, or split the document; `aegis retry` tries again.",
                    retryable=True,
                )
            if self.above(memory_bytes):
                raise DocumentError(
                    FailureCode.MEMORY_LIMIT,
                    f"The worker needed more than {memory_bytes // 1024 // 1024} MB and was ended.",
                    remedy="raise parse.memory_mb, or split the document; `aegis retry` tries again.",
                    retryable=True,
                )

    def _last_words(self) -> str:
        """The last line the process wrote to stderr; "" when it was killed by `kill`."""
        if self._errors.closed:
            return ""
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _LAST_WORDS))
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""

    def above(self, memory_bytes: int) -> bool:
        try:
            resident: int = psutil.Process(self._process.pid).memory_info().rss
        except psutil.Error:
            return False
        return resident > memory_bytes

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # `wait` waits for the ends of the pipes, too, and a pipe that nobody reads any more has none. Left open, the
        # garbage collector would close it after its event loop has ended.
        transport = getattr(self._process, "_transport", None)
        if transport is not None:
            transport.close()
        await self._process.wait()
        self._errors.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _unreadable_answer() -> DocumentError:
    remedy = "`aegis retry` tries again; if it happens again, take the document out: it may have taken over its worker."
    return DocumentError(
        FailureCode.WORKER_CRASHED, "The worker process gave no answer that can be read.", remedy=remedy, retryable=True
    )
