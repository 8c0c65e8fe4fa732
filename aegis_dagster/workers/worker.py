"""One worker as its pool sees it: its process, its line, its folder, and the limits of a task.

The line is two pipes without an owner in asyncio: a worker may serve one event loop after the other.
"""

import asyncio
import contextlib
import json
import os
import select
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import psutil

from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.workers import kernel
from aegis_dagster.workers.processes import Process, Template, spawn

_POLL_SECONDS = 0.25  # between two checks of a busy worker's memory
_LAST_WORDS = 2000  # bytes of a crashed worker's stderr that are read
_LINE_LIMIT = 64 * 1024 * 1024  # bytes of one answer
_READ_BYTES = 1 << 20  # at once
_END_SECONDS = 5.0  # for a worker that has closed its line to end


class Worker:
    """One process."""

    def __init__(self, process: Process, requests: int, answers: int, errors: IO[bytes], folder: Path) -> None:
        """requests, answers: descriptors of ours."""
        self._process = process
        self._requests = requests
        self._answers = answers
        self._errors = errors
        self._folder = folder
        self._asked = False
        self._ended = False

    @staticmethod
    async def start(template: Template, folder: Path, given: Mapping[str, Any], load: Mapping[str, Any]) -> "Worker":
        """Start a process. folder: its own. Raises OSError."""
        # A file, because a full pipe that nobody reads would block a library that prints a lot. It has no name, and
        # the end of the worker closes it.
        errors: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open as long as the process
        stdin, requests = os.pipe()
        answers, stdout = os.pipe()
        try:
            line = (stdin, stdout, errors.fileno())
            process = await asyncio.to_thread(template.fork, given, load, folder, line) if template.forks else None
            # Not in another thread: it would end with that.
            process = process or spawn(given, folder, line)
        except BaseException:
            errors.close()
            _close(requests, answers)
            raise
        finally:
            _close(stdin, stdout)
        for descriptor in (requests, answers):
            os.set_blocking(descriptor, False)
        return Worker(process, requests, answers, errors, folder)

    def is_there(self) -> bool:
        """Whether it waits for a task: it has neither ended nor said anything."""
        line = select.poll()
        line.register(self._answers, select.POLLIN)
        return not line.poll(0)

    async def ask(
        self, task: str, payload: dict[str, Any], timeout_seconds: float, memory_bytes: int
    ) -> dict[str, Any]:
        """The answer. Raises DocumentError TIMEOUT, MEMORY_LIMIT, WORKER_CRASHED."""
        exchange = _Exchange(self._requests, self._answers, {"task": task, "payload": payload})
        self._asked = True
        try:
            line = await self._watch(exchange.answer, timeout_seconds, memory_bytes)
        finally:
            exchange.close()
            self._asked = False
            if self._ended:
                self._close()
        if not line:
            code = await asyncio.to_thread(self._process.end, _END_SECONDS)
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
                return answer.result()
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
        if self._ended:
            return ""
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _LAST_WORDS))
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""

    def above(self, memory_bytes: int) -> bool:
        """Whether it holds more memory than that."""
        resident = kernel.resident_bytes(self._process.pid)
        if not resident:  # not on Linux, or it has ended
            with contextlib.suppress(psutil.Error):
                resident = psutil.Process(self._process.pid).memory_info().rss
        return resident > memory_bytes

    async def kill(self) -> None:
        """End it. In a thread, so that this is finished even where the task that waits is cancelled."""
        self._ended = True
        try:
            await asyncio.to_thread(self._kill)
        finally:
            if not self._asked:
                self._close()

    def _kill(self) -> None:
        self._process.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _close(self) -> None:
        self._errors.close()
        _close(self._requests, self._answers)
        self._requests = self._answers = -1


class _Exchange:
    """A request that is written, and an answer that is read, as the pipes allow."""

    def __init__(self, requests: int, answers: int, request: dict[str, Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self._requests, self._answers = requests, answers
        self._unsent = memoryview(json.dumps(request).encode() + b"\n")
        self._parts: list[bytes] = []
        self._size = 0
        self.answer: asyncio.Future[bytes] = self._loop.create_future()  # b"": the process has ended
        self._loop.add_reader(answers, self._read)
        self._write()
        if self._unsent:
            self._loop.add_writer(requests, self._write)

    def close(self) -> None:
        """Leave the pipes alone from now on."""
        self._loop.remove_reader(self._answers)
        self._loop.remove_writer(self._requests)
        self.answer.cancel()

    def _write(self) -> None:
        try:
            self._unsent = self._unsent[os.write(self._requests, self._unsent) :]
        except BlockingIOError:
            return
        except OSError:  # it has ended, which its answers tell
            self._unsent = self._unsent[:0]
        if not self._unsent:
            self._loop.remove_writer(self._requests)

    def _read(self) -> None:
        try:
            data = os.read(self._answers, _READ_BYTES)
        except BlockingIOError:
            return
        self._parts.append(data)
        self._size += len(data)
        if self.answer.done():
            return
        if not data:
            self.answer.set_result(b"")
        elif data.endswith(b"\n"):
            self.answer.set_result(b"".join(self._parts))
        elif self._size > _LINE_LIMIT:
            self.answer.set_exception(_unreadable_answer())


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _unreadable_answer() -> DocumentError:
    remedy = "`aegis retry` tries again; if it happens again, take the document out: it may have taken over its worker."
    return DocumentError(
        FailureCode.WORKER_CRASHED, "The worker process gave no answer that can be read.", remedy=remedy, retryable=True
    )
