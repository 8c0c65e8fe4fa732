"""How many seats of a Ray cluster take how long, and what a document costs the process that drives them.

    python -m scripts.benchmark_ray [--documents 2000] [--seconds 0.1] [--seats 1 2 4 8]

It starts a cluster of two nodes on loopback and parses text documents there, with a parser whose time is waiting: so
many seats need no cores of their own. What is measured is the stage as a run has it: claims, staging, results, records.
"""

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.stages import Stage
from aegis_dagster.settings import Settings
from aegis_dagster.settings.stages import ListingSettings
from aegis_dagster.settings.workers import WorkerSettings
from aegis_dagster.workers.ray.cluster import Share
from aegis_dagster.workers.ray.seat import SeatPlan
from aegis_dagster_tests.support.projects import bring_up, make_project, write_documents
from aegis_dagster_tests.support.servers.ray import ray_cluster


class WaitingPool:
    """In the place of a seat's worker process: waits, and gives the result of another document."""

    def __init__(self, result: Path, manifest: dict[str, Any], seconds: float) -> None:
        self._files = {file.name: file.read_bytes() for file in result.iterdir() if file.name != "checksums.json"}
        self._manifest, self._seconds = manifest, seconds

    async def run(self, task: str, payload: dict[str, Any], *, timeout_seconds: float) -> dict[str, Any]:
        """As `WorkerPool.run`."""
        await asyncio.sleep(self._seconds)
        for name, data in self._files.items():
            Path(payload["out_dir"], name).write_bytes(data)
        return self._manifest

    async def close(self) -> None:
        """As `WorkerPool.close`."""


def use_waiting_seats(pool: WaitingPool) -> None:
    """From now on, seats of this process wait instead of working."""
    import ray

    from aegis_dagster.workers.ray import actor
    from aegis_dagster.workers.ray.actor import SeatActor

    class Waiting(SeatActor):
        def __init__(self, plan: SeatPlan) -> None:
            super().__init__(plan)
            setattr(self._seat, "_pool", pool)  # noqa: B010 - it is no WorkerPool

    def seat_actor(share: Share, plan: SeatPlan) -> Any:
        options = {"num_cpus": share.cpus, "max_restarts": 0, "max_task_retries": 0, "max_concurrency": 4}
        return ray.remote(Waiting).options(scheduling_strategy="SPREAD", **options).remote(plan)

    setattr(actor, "seat_actor", seat_actor)  # noqa: B010 - for this process alone


async def measured(root: Path, home: Path, address: str, seats: int) -> tuple[float, float]:
    """Seconds, and CPU seconds of this process, of the parse stage."""
    from aegis_dagster.stages.parse import parse_documents
    from aegis_dagster_tests.support.projects import scan

    workers = WorkerSettings.model_validate({"engine": "ray", "address": address, "seats": seats})
    settings = {"home": home, "root": root, "listing": ListingSettings(settle_seconds=0), "workers": workers}
    project = Project(Settings.model_validate(settings))
    scan(project)
    async with project.workbench() as bench:
        documents = project.documents.all()
        with_seats = documents[:seats]
        await parse_documents(with_seats, bench)  # all seats are there
        started, cpu = time.perf_counter(), time.process_time()
        report = await parse_documents(documents, bench)
        took = time.perf_counter() - started, time.process_time() - cpu
    assert report.failures == []
    return took


async def main(documents: int, seconds: float, numbers: Sequence[int]) -> None:
    """Print one line for each number of seats."""
    folder = Path(tempfile.mkdtemp(prefix="aegis_ray_"))
    try:
        write_documents(folder / "many" / "root", [f"{number:05}.md" for number in range(documents)], paragraphs=1)
        write_documents(folder / "one" / "root", ["1.md"])
        one = make_project(folder / "one")
        await bring_up(one, stages=[Stage.PARSE])
        result = next((folder / "one" / "home" / "artifacts" / "parse").glob("*/*"))
        pool = WaitingPool(result, {"pages": 0, "pictures": 0}, seconds)
        with ray_cluster(cpus=max(1, max(numbers) // 2)) as cluster:
            os.environ.update(cluster.environment)
            use_waiting_seats(pool)
            for seats in numbers:
                home = folder / f"home-{seats}"
                took, cpu = await measured(folder / "many" / "root", home, cluster.address, seats)
                ideal = (documents - seats) * seconds / seats
                print(
                    f"{seats} seats: {took:.1f} s, {took / ideal:.2f} of the waiting alone, "
                    f"{1000 * cpu / (documents - seats):.2f} ms of the driver's CPU a document",
                    flush=True,
                )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=0.1)
    parser.add_argument("--seats", type=int, nargs="+", default=[1, 2, 4, 8])
    given = parser.parse_args()
    asyncio.run(main(given.documents, given.seconds, given.seats))
