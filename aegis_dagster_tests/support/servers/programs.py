"""A program that serves HTTP on loopback, started by a test on a free port and stopped by its process id."""

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from aegis_dagster_tests.support.missing import missing

_START_SECONDS = 240.0
_STOP_SECONDS = 60.0


class Program:
    """A server that can be stopped and started again: on the same port, with the same folder."""

    def __init__(self, command: Sequence[str], port: int, log: Path, *, ready: str) -> None:
        """ready: path that answers 200 as soon as the server works."""
        self.port = port
        self._command, self._log, self._ready = command, log, ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it answers. Raises RuntimeError with its log when it ends or stays silent."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            if self._answers():
                return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"{self._command[0]} did not start: {self._log.read_text('utf-8', 'replace')[-2000:]}")

    def kill(self) -> None:
        """As a power failure does; returns when it is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """Returns when it is gone; nothing to do when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + self._ready, timeout=2) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def needs(packages: Sequence[str], *programs: str) -> None:
    """Skip the test where a program is not installed; in CI fail it. packages: of Debian, for the remedy."""
    absent = [program for program in programs if shutil.which(program) is None]
    if absent:
        missing(f"{', '.join(absent)} not installed; `apt-get install {' '.join(packages)}` installs it.")
