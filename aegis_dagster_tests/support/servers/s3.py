"""A real S3-compatible server for tests: moto's, in a process of its own, on loopback, on a free port."""

import importlib.util
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from aegis_dagster_tests.support.missing import missing
from aegis_dagster_tests.support.servers.programs import free_port
from aegis_dagster_tests.support.servers.shared import shared

_MISSING = "An S3 server or client is not installed; `pip install 'aegis_dagster[dev,s3]'` installs both."
_SERVE = "from moto.server import main; main(['-H', '127.0.0.1', '-p', {port!r}])"
_READY_SECONDS = 240.0


@dataclass(slots=True)
class S3Server:
    """A server that can be stopped and started again; what it held is gone then."""

    port: int
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def options(self) -> dict[str, Any]:
        """What `root_options` says to reach it, and to notice soon that it is down."""
        return {
            "endpoint_url": self.url,
            "config_kwargs": {"connect_timeout": 2, "read_timeout": 10, "retries": {"max_attempts": 0}},
        }

    def start(self) -> None:
        """Returns when it answers."""
        command = [sys.executable, "-c", _SERVE.format(port=str(self.port))]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + _READY_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"moto's server does not answer at {self.url}.")
            time.sleep(0.1)

    def stop(self) -> None:
        """Returns when it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=30)
            self.process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5):
                return True
        except (OSError, urllib.error.URLError):
            return False


@contextmanager
def _running() -> Iterator[S3Server]:
    """A server that is ended with the block; who gets it cannot stop it."""
    server = S3Server(free_port())
    server.start()
    try:
        yield S3Server(server.port)
    finally:
        server.stop()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One server for all tests of a run; each takes a bucket of its own. Without moto or s3fs the tests skip."""
    if any(importlib.util.find_spec(name) is None for name in ("moto", "flask", "s3fs")):
        missing(_MISSING)
    with shared(tmp_path_factory, "s3", _running) as server:
        yield server
