"""Follows the seats of a run in a Ray cluster: for its metadata, and by the database for metrics."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from aegis_dagster.domain.seats import Lost, SeatFigures, SeatPeaks
from aegis_dagster.errors import ServiceError
from aegis_dagster.process_identity import new_owner
from aegis_dagster.stores.catalog.seats import SeatReports
from aegis_dagster.workers.ray.cluster import nodes
from aegis_dagster.workers.ray.runner import RayTaskRunner

_LOOK_SECONDS = 1.0
_REPORT_SECONDS = 5.0

logger = logging.getLogger(__name__)


@asynccontextmanager
async def seats_watched(runner: RayTaskRunner, reports: SeatReports) -> AsyncIterator[SeatPeaks]:
    """Within the block the seats are reported. Yields the peaks, which go on growing."""
    watch = _Watch(runner, reports)
    following = asyncio.ensure_future(watch.follow())
    try:
        yield watch.peaks
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await watch.end()


class _Watch:
    def __init__(self, runner: RayTaskRunner, reports: SeatReports) -> None:
        self.peaks = SeatPeaks()
        self._runner, self._reports, self._owner = runner, reports, new_owner()
        self._alive: set[str] = set()
        self._seen: set[str] = set()
        self._told = SeatFigures()
        self._reported: float | None = None  # of time.monotonic

    async def follow(self) -> None:
        """Look and report until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            status = self._runner.status
            if not (status.seats or status.starting or status.queue or self._reported):
                continue  # nothing was asked of the cluster yet
            self.peaks.see(self._figures())
            if self._reported is None or time.monotonic() - self._reported > _REPORT_SECONDS:
                self._reported = time.monotonic()
                with suppress(ServiceError):  # the runner itself notices that the head is gone
                    self._alive = {node.address for node in await nodes()}
                    self._seen |= self._alive
                await self._report()

    async def end(self) -> None:
        """Count what was lost since, and say that there are no seats any more."""
        if self._reported is not None:
            self.peaks.see(self._figures())
            await self._report()
            await self._tried(lambda: self._reports.end(self._owner))

    async def _report(self) -> None:
        figures = self._figures()
        self.peaks.see(figures)
        if await self._tried(lambda: self._reports.report(self._owner, figures, self._told)):
            self._told = figures

    async def _tried(self, write: Callable[[], None]) -> bool:
        try:
            await asyncio.to_thread(write)
            return True
        except ServiceError as error:  # the work itself will tell; figures are no reason to stop it
            logger.warning("The seats in the cluster could not be reported: %s", error)
            return False

    def _figures(self) -> SeatFigures:
        status = self._runner.status
        lost = {Lost.SEAT: status.lost, Lost.WORKER: status.crashed}
        gone = len(self._seen - self._alive)
        return SeatFigures(len(self._alive), gone, status.seats, status.starting, status.queue, lost)
