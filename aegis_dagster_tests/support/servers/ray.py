"""A Ray cluster of nodes on loopback, each with an address of its own, that a test may pause, kill and add to.

A node is the process group that `ray start` leaves behind, and is ended by its id: `ray stop` would end every Ray of
this user.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from aegis_dagster_tests.support.missing import missing
from aegis_dagster_tests.support.servers.programs import free_port
from aegis_dagster_tests.support.servers.shared import shared

_MISSING = "Ray is not installed; `pip install -c constraints.txt -e '.[ray]'` installs it."
_START_SECONDS = 240.0
_END_SECONDS = 30.0
_STORE_BYTES = 80_000_000  # of a node's object store; Ray takes no less than 75 MB
# How soon a node that does not answer is given up: with Ray's own values after a minute.
_HEALTH = {
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "4000",
    "RAY_health_check_failure_threshold": "3",
}
# What steps on a node open the S3 server of the tests with.
_KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True, slots=True)
class RayNode:
    """The processes of one node."""

    address: str  # its IP address
    group: int  # the process group of its servers

    def kill(self) -> None:
        """End all of it at once, as a machine that loses its power."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        end = time.monotonic() + _END_SECONDS
        while time.monotonic() < end and any(_runs(process) for process in self.processes()):
            time.sleep(0.05)

    def pause(self) -> None:
        """Stop all of it; it answers nobody."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.suspend()

    def resume(self) -> None:
        """Let it go on."""
        for process in reversed(self.processes()):
            with suppress(psutil.Error):
                process.resume()

    def processes(self) -> list[psutil.Process]:
        """Its servers, and what they have started: workers are in groups of their own."""
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                if os.getpgid(process.pid) == self.group:
                    for each in (process, *process.children(recursive=True)):
                        found[each.pid] = each
        return list(found.values())


@dataclass(frozen=True, slots=True)
class RayCluster:
    """A head and other nodes."""

    folder: Path
    port: int
    dashboard_port: int  # answers only where the cluster has a dashboard
    token: str
    nodes: list[RayNode] = field(default_factory=list)  # the head first

    @property
    def address(self) -> str:
        """Where a driver connects to."""
        return f"127.0.0.2:{self.port}"

    @property
    def dashboard(self) -> str:
        """The URL of the dashboard, where there is one."""
        return f"http://127.0.0.2:{self.dashboard_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a driver's environment has to say, before it imports ray."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, "RAY_USAGE_STATS_ENABLED": "0"}

    def start_head(self, *, cpus: int, dashboard: bool) -> RayNode:
        """Start the head."""
        return self._start(
            "127.0.0.2",
            *("--head", f"--port={self.port}", f"--temp-dir={self.folder}", f"--num-cpus={cpus}"),
            *(f"--include-dashboard={str(dashboard).lower()}", "--dashboard-host=127.0.0.2"),
            *(f"--dashboard-port={self.dashboard_port}", f"--ray-client-server-port={free_port()}"),
        )

    def add_node(self, address: str, *, cpus: int = 2, gpus: int = 0, without: Path | None = None) -> RayNode:
        """Start another node. address: its IP address, 127.0.0.3 and so on, unused in this cluster.

        without: a folder of this machine in which it sees nothing; that takes root.
        """
        options = (f"--address={self.address}", f"--num-cpus={cpus}", f"--num-gpus={gpus}")
        return self._start(address, *options, without=without)

    def _start(self, address: str, *options: str, without: Path | None = None) -> RayNode:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--node-ip-address={address}"]
        command += [*options, "--disable-usage-stats", f"--object-store-memory={_STORE_BYTES}"]
        command += [f"--dashboard-agent-listen-port={free_port()}"]
        if without is not None:
            hidden = 'mount -t tmpfs none "$0" && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", hidden, str(without), *command]
        log = self.folder.with_name(f"{self.folder.name}.log")
        with log.open("ab") as said:
            started = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd="/",
                env=self._node_environment(),
                start_new_session=True,
            )
        node = RayNode(address, started.pid)
        self.nodes.append(node)
        if started.wait(_START_SECONDS) != 0:
            raise RuntimeError(f"Ray did not start: {log.read_text('utf-8', 'replace')[-3000:]}")
        return node

    def _node_environment(self) -> dict[str, str]:
        """A node does not inherit what the shell of the tests holds."""
        kept = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")
        mine = {name: value for name, value in os.environ.items() if name in kept}
        return {**mine, **self.environment, **_HEALTH, **_KEYS}

    def end(self) -> None:
        """End all nodes, also those that are paused."""
        for node in reversed(self.nodes):
            node.kill()


@contextmanager
def ray_cluster(*, nodes: int = 2, cpus: int = 2, dashboard: bool = False) -> Iterator[RayCluster]:
    """A running cluster on 127.0.0.2, 127.0.0.3 and so on; the last node has one GPU, which is only a number."""
    # Not pytest's folder: the path of a socket has to be short.
    folder = Path(tempfile.mkdtemp(prefix="aegis_ray_"))
    cluster = RayCluster(folder / "t", free_port(), free_port(), secrets.token_hex(32))
    try:
        cluster.start_head(cpus=cpus, dashboard=dashboard)
        for number in range(1, nodes):
            cluster.add_node(f"127.0.0.{number + 2}", cpus=cpus, gpus=1 if number == nodes - 1 else 0)
        yield cluster
    finally:
        cluster.end()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _shared_cluster() -> Iterator[RayCluster]:
    with ray_cluster(dashboard=True) as cluster:
        yield cluster


def need_ray() -> None:
    """Skip without Ray. It must not be imported: once in a process, Ray decides whether it sends tokens."""
    if find_spec("ray") is None:
        missing(_MISSING)


@pytest.fixture(scope="session")
def shared_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """One cluster of two nodes with 2 CPUs each for all tests of a run. Without Ray the tests skip.

    A test may add a node and kill that one; it leaves these two alone.
    """
    need_ray()
    with shared(tmp_path_factory, "ray", _shared_cluster) as cluster:
        yield cluster


@pytest.fixture
def ray_of_the_run(shared_ray: RayCluster, monkeypatch: pytest.MonkeyPatch) -> RayCluster:
    """The cluster of the run, with its token in the environment of the test."""
    for name, value in shared_ray.environment.items():
        monkeypatch.setenv(name, value)
    return shared_ray


@pytest.fixture
def own_ray() -> Iterator[RayCluster]:
    """A cluster of one node for one test, which may end it. Without Ray the test skips."""
    need_ray()
    with ray_cluster(nodes=1) as cluster:
        yield cluster


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE
    return False
