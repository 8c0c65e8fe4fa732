"""`aegis dev` for tests: a process group of its own on a free port, ended by its pids."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from aegis_dagster_tests.support.servers.programs import free_port

_START_SECONDS = 240.0
_END_SECONDS = 120.0
_ENDS_BY_ITSELF_SECONDS = 10.0


@dataclass
class DagsterDev:
    """Webserver, daemon and code location over one home."""

    home: Path
    root: str | Path
    settings: Mapping[str, str] = field(default_factory=dict)  # more of the environment
    port: int = 0
    below: Sequence[str] = ()  # a program that starts it and watches what it does
    _process: "subprocess.Popen[bytes] | None" = None
    _left: list[psutil.Process] = field(default_factory=list)  # of one that ended when a part was killed

    @property
    def url(self) -> str:
        """Where the UI is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What the processes print."""
        return self.home.parent / "dagster-dev.log"

    def environment(self) -> dict[str, str]:
        """For `aegis dev`, and for `aegis` on the same home."""
        own = ("AEGIS_", "DAGSTER_", "OPENAI_", "DASHSCOPE_", "OLLAMA_")
        values = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        return values | {"AEGIS_HOME": str(self.home), "AEGIS_ROOT": str(self.root), **self.settings}

    def start(self) -> None:
        """Returns when the webserver answers and has loaded the definitions."""
        self.port = self.port or free_port()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.below, str(Path(sys.executable).with_name("aegis")), "dev", "--port", str(self.port)],
                cwd=self.home.parent,
                env=self.environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_for(self._answers, "the webserver to answer", _START_SECONDS)

    def interrupt(self) -> None:
        """Ctrl-C, as a terminal sends it: to the whole process group."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)

    def kill(self, part: str) -> None:
        """Kill one part, and end what does not end by itself: a run that is at work may go on. "": kill everything."""
        assert self._process is not None
        self._left += self.processes()
        for process in [self.process(part)] if part else [psutil.Process(self._process.pid), *self._left]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        try:
            self._process.wait(_ENDS_BY_ITSELF_SECONDS)
        except subprocess.TimeoutExpired:
            self.interrupt()
            self._process.wait(_END_SECONDS)
        self._process = None

    def stop(self) -> None:
        """Ctrl-C, then an end to whatever is still there."""
        mine = [*self._left, *self.processes()]
        self.interrupt()
        if self._process is not None:
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        for process in psutil.wait_procs(mine, timeout=10)[1]:  # runs are process groups of their own
            process.kill()
        self._process = None

    def processes(self) -> list[psutil.Process]:
        """All that belong to it now."""
        if self._process is None or self._process.poll() is not None:
            return []
        return psutil.Process(self._process.pid).children(recursive=True)

    def process(self, part: str) -> psutil.Process:
        """The one with this argument: "aegis_dagster.defs.webserver", "aegis_dagster.defs.daemon", "code-server"."""
        (found,) = [one for one in self.processes() if part in _arguments(one)]
        return found

    def template(self) -> psutil.Process:
        """The process that runs are forked from."""
        (server,) = [one for one in self.processes() if {"api", "grpc"} <= set(_arguments(one))]
        (found,) = [one for one in server.children() if "multiprocessing.forkserver" in " ".join(_arguments(one))]
        return found

    def query(self, query: str, **variables: object) -> dict[str, Any]:
        """Ask GraphQL. Raises AssertionError with its errors."""
        data = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: dict[str, Any] = json.loads(response.read())
        assert "errors" not in answer, answer["errors"]
        data_of: dict[str, Any] = answer["data"]
        return data_of

    def runs(self) -> list[dict[str, Any]]:
        """All runs, the newest first: id, status, jobName, tags."""
        asked = self.query("{runsOrError{...on Runs{results{id status jobName tags{key value}}}}}")
        runs: list[dict[str, Any]] = asked["runsOrError"]["results"]
        for run in runs:
            run["tags"] = {tag["key"]: tag["value"] for tag in run["tags"]}
        return runs

    def run(self, run_id: str) -> dict[str, Any]:
        """One of the runs."""
        (found,) = [run for run in self.runs() if run["id"] == run_id]
        return found

    def wait_for(self, true: Callable[[], object], what: str, seconds: float = 240.0) -> None:
        """Wait until something is so. Raises AssertionError with the end of the log."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if true():
                return
            time.sleep(0.2)
        raise AssertionError(f"waited {seconds:.0f} s for {what}\n{self.log.read_text('utf-8', 'replace')[-3000:]}")

    def _answers(self) -> bool:
        try:
            found = self.query("{repositoriesOrError{...on RepositoryConnection{nodes{name}}}}")
        except OSError:
            return False
        return bool(found["repositoriesOrError"].get("nodes"))


def _arguments(process: psutil.Process) -> list[str]:
    """None of one that has ended meanwhile."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
