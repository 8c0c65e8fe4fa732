"""Starts and ends the processes of workers: forked by a template process, or new ones where that is not safe.

A template is not tied to the thread that started it, and ends with this process: then its socket ends. While
`template_kept` lasts, every pool of this process uses one template; else each has its own.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from aegis_dagster.environment import template_environment, worker_environment
from aegis_dagster.workers.template import MOST_BYTES

_PATIENCE_SECONDS = 300.0  # the template loads docling_core; on a slow disk that takes a minute
_END_SECONDS = 10.0
_UNKNOWN = -signal.SIGKILL  # the exit code of a worker whose template is lost: it ended with it

Line = tuple[int, int, int]  # descriptors that become stdin, stdout and stderr of a worker


class Process(Protocol):
    """A worker's process."""

    pid: int

    def end(self, seconds: float = 0.0) -> int:
        """Wait so long, then kill it with all that it has started. Returns its exit code."""
        ...


class Template:
    """The template process, started when first needed and replaced when it is lost."""

    def __init__(self) -> None:
        self._running: _Running | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._refuses = sys.platform != "linux"  # elsewhere libraries of the system start threads

    @property
    def forks(self) -> bool:
        """Whether it can fork here, as far as is known."""
        return not self._refuses

    def fork(self, given: Mapping[str, Any], load: Mapping[str, Any], folder: Path, line: Line) -> "Process | None":
        """A new worker that has loaded what the tasks in `load` need; None where forking is not safe.

        folder: its own. Raises OSError.
        """
        with self._lock:
            for _ in range(2):  # it was lost since the last worker, or is lost now
                running = self._running = self._running or _Running()
                try:
                    pid = running.fork(given, load, folder, line)
                except ConnectionError:
                    self._end()
                    continue
                if pid is None:
                    self._refuses = True
                    self._end()
                    return None
                return _Forked(pid, running)
        self._refuses = True
        return None

    def load(self, wanted: Mapping[str, Any]) -> None:
        """Load what tasks need before the first worker is asked for. Where that fails, `fork` tells."""
        with self._lock, contextlib.suppress(OSError):
            if not self._refuses and not self._closed:
                self._running = self._running or _Running()
                self._running.load(wanted)

    def close(self) -> None:
        """End the process and the workers that are left of it."""
        with self._lock:
            self._closed = True
            self._end()

    def _end(self) -> None:
        if self._running is not None:
            self._running.end()
            self._running = None


class _Running:
    """One template process."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.settimeout(_PATIENCE_SECONDS)
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                # -P: the working directory may be a folder of documents that contains a json.py
                [sys.executable, "-P", "-m", "aegis_dagster.workers.template", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                umask=0o077,  # what a worker writes, e.g. the text of a document, is for this user alone
                env=template_environment(),
                start_new_session=True,
            )

    def fork(self, given: Mapping[str, Any], load: Mapping[str, Any], folder: Path, line: Line) -> int | None:
        """The process id of a new worker. Raises ConnectionError, and OSError where the system refuses another one."""
        answer = self._ask({"fork": given, "load": load, "environment": worker_environment(folder)}, line)
        if refused := answer.get("errno"):
            raise OSError(refused, os.strerror(refused))
        pid: int | None = answer["pid"]
        return pid

    def load(self, wanted: Mapping[str, Any]) -> None:
        """Load what these tasks need."""
        self._ask({"load": wanted})

    def end_worker(self, pid: int, seconds: float) -> int:
        """Its exit code."""
        try:
            code: int = self._ask({"end": pid, "seconds": seconds})["code"]
        except ConnectionError:
            return _UNKNOWN
        return code

    def end(self) -> None:
        """End it and its workers; the kernel ends those of a template that was killed."""
        with self._lock:
            self._line.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        self._process.kill()
        self._process.wait()

    def _ask(self, request: dict[str, Any], line: Line | tuple[()] = ()) -> dict[str, Any]:
        with self._lock:
            said = b""
            with contextlib.suppress(OSError):
                socket.send_fds(self._line, [json.dumps(request).encode()], list(line))
                said = self._line.recv(MOST_BYTES)
            if not said:
                self._line.close()  # an answer that comes later is none to the next request
                raise ConnectionError("the template has ended, or does not answer")
        answer: dict[str, Any] = json.loads(said)
        return answer


class _Forked:
    """A worker that a template has forked."""

    def __init__(self, pid: int, template: _Running) -> None:
        self.pid = pid
        self._template = template
        self._code: int | None = None
        self._lock = threading.Lock()

    def end(self, seconds: float = 0.0) -> int:
        with self._lock:
            if self._code is None:
                self._code = self._template.end_worker(self.pid, seconds)
            return self._code


class _Spawned:
    """A worker that is a new process."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.pid = process.pid
        self._process = process

    def end(self, seconds: float = 0.0) -> int:
        if self._process.returncode is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
            with contextlib.suppress(ProcessLookupError, PermissionError):  # also what is left of one that has ended
                os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait()


def spawn(given: Mapping[str, Any], folder: Path, line: Line) -> Process:
    """A worker that is a new process. It ends with the thread that calls this. folder: its own."""
    stdin, stdout, stderr = line
    return _Spawned(
        subprocess.Popen(
            [sys.executable, "-P", "-m", "aegis_dagster.workers.child", json.dumps(given)],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            umask=0o077,
            env=worker_environment(folder),
            start_new_session=True,  # a group of its own: what it starts is killed with it
        )
    )


_kept: list[Template] = []
_at_end: list[Callable[[], None]] = []


@contextlib.contextmanager
def template_kept(load: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Within the block, the pools of this process share one template, which ends with the outermost block.

    load: the options of tasks; what they need is loaded at once, in the background.
    """
    if _kept:
        yield
        return
    template = Template()
    _kept.append(template)
    if load:
        threading.Thread(target=template.load, args=(load,), daemon=True).start()
    try:
        yield
    finally:
        _kept.remove(template)
        template.close()
        while _at_end:
            _at_end.pop()()


def at_end_of_block(end: Callable[[], None]) -> bool:
    """Have this called when the block of `template_kept` ends; False: there is none."""
    if _kept:
        _at_end.append(end)
    return bool(_kept)


def template_for_pool() -> tuple[Template, bool]:
    """The template that a pool uses, and whether it is the pool's own."""
    return (_kept[0], False) if _kept else (Template(), True)
