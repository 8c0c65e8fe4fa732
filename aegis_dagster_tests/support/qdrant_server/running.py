"""Starting the stand-in, and scripting it from tests of any process."""

import json
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from aegis_dagster_tests.support.servers.programs import Program, free_port
from aegis_dagster_tests.support.servers.shared import shared


@dataclass(frozen=True, slots=True)
class QdrantStandIn:
    """One server of a running process: nobody else's collections are in it."""

    base: str
    name: str

    @property
    def url(self) -> str:
        """What qdrant.url says."""
        return f"{self.base}/{self.name}"

    def script(self, *faults: dict[str, Any]) -> None:
        """What the next requests get. Each: match (part of `METHOD path`), times, and status with error or text,
        headers, delay, reset, after (carried out, though the answer is lost)."""
        self._post("script", list(faults))

    def settings(self, **values: Any) -> None:
        """api_key, read_only_api_key, limit (bytes of a request), version, title."""
        self._post("settings", values)

    def records(self, part: str = "") -> list[dict[str, Any]]:
        """What was asked since the last script, if `METHOD path` contains the part."""
        with urllib.request.urlopen(f"{self.base}/_control/{self.name}/records", timeout=60) as response:
            return [each for each in json.load(response) if part in f"{each['method']} {each['path']}"]

    def _post(self, what: str, value: Any) -> None:
        data = json.dumps(value).encode()
        with urllib.request.urlopen(f"{self.base}/_control/{self.name}/{what}", data=data, timeout=60):
            pass


def program(folder: Path, *secure: str) -> Program:
    """The process, not started. secure: a port for TLS, and the PEM files of certificate and key."""
    port = free_port()
    command = [sys.executable, "-m", "aegis_dagster_tests.support.qdrant_server"]
    command += [str(folder / "state"), str(port), *secure]
    return Program(command, port, folder / "qdrant.log", ready="/readyz")


@contextmanager
def _running() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="aegis_qdrant_", ignore_cleanup_errors=True) as name:
        running = program(Path(name))
        running.start()
        try:
            yield running.url
        finally:
            running.stop()


@pytest.fixture(scope="session")
def qdrant_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The run's process; its address."""
    with shared(tmp_path_factory, "qdrant", _running) as url:
        yield url


@pytest.fixture
def qdrant_server(qdrant_process: str) -> QdrantStandIn:
    """A server of its own for a test."""
    return QdrantStandIn(qdrant_process, uuid4().hex[:12])
