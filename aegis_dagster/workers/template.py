"""The template process: it has loaded what tasks need, and forks a worker whenever it is told to.

It never sees a document, has one thread, and ends with its parent. Requests come as JSON on a socket:

- `{"fork": what the worker is given, "environment": {...}, "load": {task: options}}`, with the three descriptors of its
  line, answers `{"pid": ...}`, `{"pid": null}` where forking is not safe, or `{"errno": ...}` where the system refuses;
- `{"load": ...}` alone loads what tasks need, and answers `{}`;
- `{"end": pid, "seconds": ...}` waits so long for a worker, then kills it and what it started, and answers
  `{"code": its exit code}`.
"""

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from aegis_dagster.environment import take_environment
from aegis_dagster.workers import kernel
from aegis_dagster.workers.child import TASKS, work

MOST_BYTES = 128 * 1024  # of one request
_POLL_SECONDS = 0.005
_KILL_SECONDS = 3.0  # a killed process ends at once, unless a disk that does not answer holds it


def main() -> NoReturn:
    """Fork and end workers until the parent is gone."""
    line = socket.socket(fileno=int(sys.argv[1]))
    workers: set[int] = set()
    loaded: set[str] = set()
    while True:
        data, descriptors, _, _ = socket.recv_fds(line, MOST_BYTES, 3)
        if not data:
            break
        request = json.loads(data)
        answer: dict[str, int | None] = {}
        _load(request.get("load", {}), loaded)
        if "fork" in request:
            answer = _fork(line, request, descriptors) if _has_one_thread() else {"pid": None}
            workers |= {worker} if (worker := answer.get("pid")) else set()
        elif "end" in request:
            workers.discard(request["end"])
            answer = {"code": _end(request["end"], request["seconds"])}
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(OSError):  # the parent has gone meanwhile, which the next look tells
            line.send(json.dumps(answer).encode())
    for worker in workers:
        _end(worker, 0)
    os._exit(0)  # no thread of a library keeps it


def _load(wanted: dict[str, Any], loaded: set[str]) -> None:
    """Load what tasks need, each once. What cannot be loaded fails again in the worker, which says why."""
    missing = wanted.keys() - loaded
    gc.disable()  # what is loaded stays
    for task in missing:
        with contextlib.suppress(Exception):
            importlib.import_module(TASKS[task].partition(":")[0]).load(wanted[task])
    loaded |= missing
    if missing:
        gc.collect()
        gc.freeze()  # a collection would write to pages that the workers share
    gc.enable()


def _has_one_thread() -> bool:
    """A fork takes no other thread along, and what that one held stays locked."""
    return len(list(Path("/proc/self/task").iterdir())) == 1


def _fork(line: socket.socket, request: dict[str, Any], descriptors: list[int]) -> dict[str, int | None]:
    template = os.getpid()
    try:
        worker = os.fork()
    except OSError as error:  # there is no process or memory left, which must not end the workers that there are
        return {"errno": error.errno}
    if worker:
        return {"pid": worker}
    try:
        line.close()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.setsid()  # a group of its own: what it starts is killed with it
        with contextlib.suppress(OSError):
            kernel.die_with_parent()
        if os.getppid() == template:  # else it was killed before the kernel was told
            take_environment(request["environment"])
            tempfile.tempdir = None  # that of the template
            work(request["fork"])
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _end(worker: int, seconds: float) -> int:
    _has_ended(worker, seconds)
    _kill(worker)  # also what is left of one that has ended by itself
    if not _has_ended(worker, _KILL_SECONDS):  # the other workers need not wait for it
        return -signal.SIGKILL
    return os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])


def _has_ended(worker: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while os.waitid(os.P_PID, worker, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= until:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _kill(worker: int) -> None:
    try:
        os.killpg(worker, signal.SIGKILL)
    except ProcessLookupError:  # it has not made its group yet
        os.kill(worker, signal.SIGKILL)


if __name__ == "__main__":
    main()
