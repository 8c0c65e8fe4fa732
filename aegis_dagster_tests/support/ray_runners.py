"""Runners on a Ray cluster of the tests, and tasks whose time is waiting."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from aegis_dagster.workers.ray.cluster import Share
from aegis_dagster.workers.ray.runner import RayOptions, RayTaskRunner
from aegis_dagster.workers.ray.seat import SeatPlan
from aegis_dagster.workers.ray.versions import versions
from aegis_dagster_tests.support.servers.ray import RayCluster, RayNode
from aegis_dagster_tests.support.worker_processes import TEMPLATE

SMALL = Share(1, 0, 500)
_SECONDS = 60.0


@asynccontextmanager
async def ray_runner(
    cluster: RayCluster,
    folder: Path,
    *,
    share: Share = SMALL,
    seats: int = 1,
    waiting_seconds: float = 60,
    **plan: Any,
) -> AsyncIterator[RayTaskRunner]:
    """A runner that makes results in a folder."""
    results = folder / "results"
    results.mkdir(exist_ok=True)
    told = {"memory_mb": 500, "results": str(results), "versions": versions(), "office": None, **plan}
    shares = dict.fromkeys(("parse", "chunk", "picture_facts", "ocr"), share)
    made = RayTaskRunner(RayOptions(cluster.address, seats, waiting_seconds, shares), SeatPlan(**told))
    try:
        yield made
    finally:
        await made.close()


class Waiting:
    """A task that waits until it is told to go on: its picture is a pipe, which this process holds open."""

    def __init__(self, folder: Path) -> None:
        self._pipe = folder / f"pipe-{os.urandom(4).hex()}"
        os.mkfifo(self._pipe)
        self._held = os.open(self._pipe, os.O_RDWR | os.O_NONBLOCK)
        self.payload = {"paths": [str(self._pipe)]}

    async def begun(self, among: Callable[[], list[psutil.Process]] = lambda: list(psutil.process_iter())) -> None:
        """Returns when one of these processes reads it."""
        await eventually(lambda: any(self._is_read_by(process) for process in among()))

    def go_on(self) -> None:
        """The pipe ends, and holds no picture."""
        os.close(self._held)

    def _is_read_by(self, process: psutil.Process) -> bool:
        return process.pid != os.getpid() and str(self._pipe) in _open_files(process)


async def eventually(holds: Callable[[], bool], seconds: float = _SECONDS) -> None:
    """Wait until something holds. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not await asyncio.to_thread(holds):
        if time.monotonic() > end:
            raise TimeoutError
        await asyncio.sleep(0.1)


def workers_of(node: RayNode) -> list[psutil.Process]:
    """The workers on a node: those that templates there have forked."""
    found = []
    for process in node.processes():
        try:
            if TEMPLATE in process.cmdline():
                found += process.children()
        except psutil.Error:
            continue
    return [worker for worker in found if _lives(worker)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _open_files(process: psutil.Process) -> set[str]:
    folder = Path(f"/proc/{process.pid}/fd")
    try:
        return {str(each.readlink()) for each in folder.iterdir()}
    except OSError:
        return set()
