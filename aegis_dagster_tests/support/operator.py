"""An operator of one `aegis dev`: writes files, runs `aegis`, waits until something is found."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.stages import Stage
from aegis_dagster.settings import load_settings
from aegis_dagster.stores.catalog.pending_work import WorkLeft
from aegis_dagster.stores.catalog.schema import stage_totals
from aegis_dagster_tests.support.dagster_daemon import found
from aegis_dagster_tests.support.servers.dagster_dev import DagsterDev

_AT_WORK = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
_WAIT_SECONDS = 240.0


@dataclass
class Operator:
    """A user of the machine on which `aegis dev` runs."""

    dev: DagsterDev

    @property
    def project(self) -> Project:
        """What the settings that hold now make of the home."""
        return Project(load_settings())

    def write(self, name: str, content: bytes | str) -> Path:
        """Put a file into the watched root, or other bytes into one."""
        path = Path(self.dev.root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def aegis(self, *arguments: str) -> dict[str, Any]:
        """What a command prints as JSON; it must succeed."""
        command = [str(Path(sys.executable).with_name("aegis")), *arguments, "--json"]
        done = subprocess.run(
            command, cwd=self.dev.home.parent, env=self.dev.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        values: dict[str, Any] = json.loads(done.stdout)
        return values

    def found(self, question: str) -> list[str]:
        """Up to five documents that have one of the words, the best first; without starting a process."""
        with ThreadPoolExecutor(1) as thread:  # playwright has this thread's event loop
            return thread.submit(found, question).result()

    def wait_until_found(self, what: str, question: str, *documents: str) -> None:
        """Until just these documents answer."""
        self.dev.wait_for(lambda: self.found(question) == list(documents), f"{what} ({question})", _WAIT_SECONDS)

    def wait_until_idle(self) -> None:
        """Until no run is at work and none would find anything to do."""
        self.dev.wait_for(self._idle, "all documents to be processed", _WAIT_SECONDS)

    def _idle(self) -> bool:
        project = self.project
        work = WorkLeft(project.engine, project.identities)
        now_ms = int(project.clock.now().timestamp() * 1000)
        return not work.by_collection(now_ms) and not work.deleted() and not self.at_work()

    def at_work(self) -> list[dict[str, Any]]:
        """The runs that have yet to end."""
        return [run for run in self.dev.runs() if run["status"] in _AT_WORK]

    def processed(self, stage: Stage) -> int:
        """How often a document was brought through a stage, ever."""
        totals = sa.select(sa.func.sum(stage_totals.c.documents)).where(
            stage_totals.c.stage == str(stage), stage_totals.c.status == "done"
        )
        with self.project.engine.connect() as connection:
            return int(connection.execute(totals).scalar() or 0)


def operator_of(dev: DagsterDev, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """One in this process, which gets the environment of `aegis dev`: both read the same settings."""
    for name, value in dev.environment().items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(dev.home.parent)  # where an aegis.yaml is looked for
    return Operator(dev)
