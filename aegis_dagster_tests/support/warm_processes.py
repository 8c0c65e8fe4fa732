"""Processes forked from one that has imported everything already: dozens of them start as cheaply as one.

`python -m ... MODULE` is that process. It calls the module's `prepare`, and forks one for each line of its standard
input, which calls `main` with the arguments of the line.
"""

import faulthandler
import importlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

_HANGS_SECONDS = 400  # less than a test may take: the test's failure then shows where the process hung


@dataclass(frozen=True, slots=True, eq=False)
class WarmProcess:
    """One that was forked: a process group of its own."""

    parent: "WarmParent"
    pid: int
    output: Path

    def kill(self) -> None:
        """Send SIGKILL to it and to the processes it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end. Returns its exit code, or minus the signal that killed it."""
        code = int(self.parent.ask({"wait": self.pid}))
        self.parent.running.discard(self)
        return code

    def answer(self) -> Any:
        """Its output as JSON; it must succeed."""
        code, text = self.wait(), self.output.read_text("utf-8")
        assert code == 0, text
        return json.loads(text.splitlines()[-1])


@dataclass(slots=True)
class WarmParent:
    """The process that has imported the module."""

    process: "subprocess.Popen[str]"
    folder: Path
    running: set[WarmProcess] = field(default_factory=set)

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> WarmProcess:
        """Fork one, with this environment only."""
        output = self.folder / f"{uuid.uuid4().hex}.out"
        wanted = {"arguments": list(arguments), "environment": dict(environment), "output": str(output)}
        started = WarmProcess(self, int(self.ask(wanted)), output)
        self.running.add(started)
        return started

    def ask(self, request: Mapping[str, Any]) -> str:
        """Send one line and read the answer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return self.process.stdout.readline()


@contextmanager
def warm_parent(module: ModuleType, folder: Path) -> Iterator[WarmParent]:
    """A process to fork from. folder: for what its children print. At the end all that still run are killed."""
    assert module.__spec__ is not None
    command = [sys.executable, "-m", __name__, module.__spec__.name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        parent = WarmParent(process, folder)
        try:
            yield parent
        finally:  # or the parent would wait for a child that hangs, and this process for the parent
            for child in parent.running:
                child.kill()


def main(name: str) -> None:
    """Fork and wait on request, until standard input ends."""
    module, running = importlib.import_module(name), set[int]()
    module.prepare()
    try:
        for line in sys.stdin:
            request = json.loads(line)
            if "wait" in request:
                running.discard(request["wait"])
                print(os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1]), flush=True)
            elif pid := os.fork():
                with suppress(OSError):  # here too: a kill may come before the child has done it
                    os.setpgid(pid, pid)
                running.add(pid)
                print(pid, flush=True)
            else:
                running.clear()
                return _become(module, request)
    finally:
        for pid in running:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return None


def _become(module: ModuleType, request: Mapping[str, Any]) -> None:
    os.setpgid(0, 0)
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(old, new)
    os.environ.clear()
    os.environ.update(request["environment"])
    faulthandler.dump_traceback_later(_HANGS_SECONDS, exit=True)
    module.main(*request["arguments"])


if __name__ == "__main__":
    main(sys.argv[1])
