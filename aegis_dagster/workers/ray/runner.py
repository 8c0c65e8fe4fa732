"""Runs tasks on the seats of a Ray cluster. Implements `ports.TaskRunner`.

Who is to blame for a task that ended is told apart: the document itself, as its worker says; a worker that crashed,
whose task is tried once more on another seat; or a node that is lost, hangs or is full: its task is given to another
seat, and no attempt is counted.
"""

import asyncio
import logging
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegis_dagster.errors import AegisError, DocumentError, FailureCode, ServiceError
from aegis_dagster.workers.ray.cluster import Share, connect, disconnect, nodes
from aegis_dagster.workers.ray.desk import Desk
from aegis_dagster.workers.ray.handles import SeatHandle, SeatLostError, kept_seats
from aegis_dagster.workers.ray.seat import Call, Done, SeatPlan, error_of
from aegis_dagster.workers.ray.travel import (
    TRAVEL,
    FileHere,
    contents_of,
    files_of,
    names_in,
    value_at,
    with_value,
    write_result,
)

_LOSSES = 10  # seats that may be lost under one task, or that cannot work, until the step stops
_LOOK_SECONDS = 5.0  # between two looks at the cluster
_STARVING_SECONDS = 1.0  # the same while tasks wait and there is no seat
_SILENT = 2  # looks without an answer after which the head is gone

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RayOptions:
    """Where the seats are and how many."""

    address: str
    seats: int  # most of them for each share
    waiting_seconds: float  # while there is none
    shares: Mapping[str, Share]  # by task


@dataclass(frozen=True, slots=True)
class RayStatus:
    """A look at the runner."""

    nodes: int  # with a seat
    seats: int  # that are there
    starting: int  # asked for, and not there yet
    queue: int  # tasks that wait for a seat
    lost: int  # seats that were lost with their node or process
    crashed: int  # workers that crashed under a task
    repeated: int  # tasks that were given to another seat


class RayTaskRunner:
    """The seats of one event loop. They outlive it where this process keeps them (`processes.template_kept`)."""

    def __init__(self, options: RayOptions, plan: SeatPlan) -> None:
        self._options, self._plan = options, plan
        self._told = repr((options.address, plan))
        self._kept = kept_seats()
        self._desks: dict[Share, Desk] = {}
        self._counts: Counter[str] = Counter()
        self._opened: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._gone: AegisError | None = None
        self._look_now = asyncio.Event()
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def run(self, task: str, payload: dict[str, Any], *, timeout_seconds: float) -> dict[str, Any]:
        """Run a task on a seat; waits for one.

        Raises DocumentError: the task's own, or TIMEOUT, MEMORY_LIMIT, WORKER_CRASHED. ServiceError: the cluster is
        gone, has no room, or loses each seat. ConfigurationError: it cannot work for any document.
        """
        await self._open()
        share = self._options.shares[task]
        desk = self._desks.get(share) or self._desk(share)
        working = asyncio.ensure_future(_Attempts(self, desk, task, payload, timeout_seconds).result())
        self._running.add(working)
        working.add_done_callback(self._running.discard)
        try:
            return await working
        except asyncio.CancelledError:
            if self._gone is not None or self._closed:
                raise (self._gone or _ended()) from None
            raise
        finally:
            working.cancel()

    @property
    def status(self) -> RayStatus:
        """How it stands."""
        desks = self._desks.values()
        here = [seat for desk in desks for seat in desk.there]
        hosts = {seat.info.node for seat in here if seat.info is not None}
        return RayStatus(
            len(hosts),
            len(here),
            sum(desk.starting for desk in desks),
            sum(desk.queue for desk in desks),
            self._counts["lost"],
            self._counts["crashed"],
            self._counts["repeated"],
        )

    def count(self, what: str) -> None:
        """Count something for the status."""
        self._counts[what] += 1

    async def close(self) -> None:
        """End the tasks that are under way with their seats; keep the other seats, or end them too."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        idle = [seat for desk in self._desks.values() for seat in await desk.close()]
        if self._gone is not None or self._opened is None:
            pass
        elif self._kept is not None:
            self._kept.put(self._told, idle)
            return
        else:
            await asyncio.gather(*(seat.end() for seat in idle))
        if self._opened is not None:
            await asyncio.to_thread(disconnect)

    async def _open(self) -> None:
        """Connect, once."""
        if self._closed:
            raise _ended()
        if self._opened is None:
            self._opened = asyncio.ensure_future(self._connect())
        await asyncio.shield(self._opened)
        if self._gone is not None:
            raise self._gone

    async def _connect(self) -> None:
        await asyncio.to_thread(connect, self._options.address)
        for seat in self._kept.take(self._told) if self._kept is not None else ():
            self._desk(seat.share).add(seat)
        self._looking = asyncio.ensure_future(self._look_again_and_again())

    def _desk(self, share: Share) -> Desk:
        if share not in self._desks:
            used_by = [task for task, wanted in self._options.shares.items() if wanted == share]
            desk = Desk(share, self._plan, ", ".join(used_by), self._options.seats, self._options.waiting_seconds)
            desk.others = self._desks.values()
            desk.lost = lambda: self.count("lost")
            self._desks[share] = desk
            self._look_now.set()
        return self._desks[share]

    async def _look_again_and_again(self) -> None:
        """Notice that the head is gone: no call of an actor ever ends then."""
        silent = 0
        while True:
            starving = any(desk.starves for desk in self._desks.values())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look_now.wait(), _STARVING_SECONDS if starving else _LOOK_SECONDS)
            self._look_now.clear()
            try:
                found = await nodes()
                silent = 0
                for desk in self._desks.values():
                    desk.look(found)
            except ServiceError as error:
                silent += 1
                if silent >= _SILENT:
                    self._gone = error
                    for task in list(self._running):
                        task.cancel()
                    return


class _Attempts:
    """One task, until some seat has done it."""

    def __init__(
        self, runner: RayTaskRunner, desk: Desk, task: str, payload: dict[str, Any], timeout_seconds: float
    ) -> None:
        self._runner, self._desk = runner, desk
        self._task, self._payload, self._timeout = task, payload, timeout_seconds
        key = TRAVEL[task].output
        self._out = Path(value_at(payload, key)) if key else None
        self._losses = 0
        self._crashed: DocumentError | None = None
        self._attempt = 0

    async def result(self) -> dict[str, Any]:
        """The task's result. Raises as `RayTaskRunner.run`."""
        avoided = ""
        while True:
            seat = await self._desk.take(avoided)
            healthy = False
            try:
                done = await self._asked(seat)
                healthy = done.broken is None
            except SeatLostError as error:
                self._runner.count("lost")
                self._lost(f"The seat on {_name(seat)} was lost: {error}")
                continue
            finally:
                self._desk.give_back(seat, healthy=healthy)
            if done.result is not None:
                return done.result
            avoided = seat.info.node if seat.info is not None else ""
            self._judge(error_of(done))

    def _judge(self, error: AegisError | None) -> None:
        """Return where the task is to be tried again. Raises the error otherwise."""
        if isinstance(error, DocumentError) and error.code is FailureCode.WORKER_CRASHED:
            self._runner.count("crashed")
            if self._crashed is not None:
                raise error
            self._crashed = error
            self._runner.count("repeated")
        elif isinstance(error, ServiceError):
            self._lost(str(error), error)
        elif error is not None:
            raise error

    def _lost(self, why: str, error: ServiceError | None = None) -> None:
        self._losses += 1
        self._runner.count("repeated")
        logger.warning("%s The task goes to another seat.", why)
        if self._losses >= (3 if error is not None else _LOSSES):
            raise error or ServiceError(
                f"{self._losses} seats were lost one after the other under one task. {why}",
                remedy="look at the nodes with `ray status`; give a seat more memory in the group `workers`.",
            )

    async def _asked(self, seat: SeatHandle) -> Done:
        """Let a seat do it, in a folder of its own: one that was given up may still write into the last."""
        out, self._attempt = self._out, self._attempt + 1
        payload, mine = self._payload, None
        if out is not None:
            mine = out.with_name(f"{out.name}.{self._attempt}")
            mine.mkdir()
            payload = with_value(payload, TRAVEL[self._task].output, str(mine))
        try:
            done = await self._sent(seat, payload)
            if out is not None and mine is not None and done.result is not None:
                await self._taken_over(done, mine, out)
            return done
        finally:
            if mine is not None and mine.exists():
                shutil.rmtree(mine, ignore_errors=True)

    async def _sent(self, seat: SeatHandle, payload: dict[str, Any]) -> Done:
        payload = _on_its_cards(payload, seat.share)
        files = files_of(self._task, payload)
        wanted = [file for file in files if file.key in seat.lacks and not file.kept]
        done = Done(absent=tuple(file.path for file in wanted))
        for _ in range(2):
            absent = [file for file in files if file.path in done.absent]
            seat.lacks.update(file.key for file in absent)
            carried = await asyncio.to_thread(_read, absent) if absent else {}
            done = await seat.run(Call(self._task, payload, self._timeout, files, carried))
            if not done.absent:
                return done
        raise SeatLostError("it does not find what was sent along")

    async def _taken_over(self, done: Done, mine: Path, out: Path) -> None:
        """Put a result where it is looked for."""
        if done.carried is not None:
            await asyncio.to_thread(write_result, out, done.carried)
        elif names_in(mine) == list(done.names):
            mine.rename(out)
        else:
            raise SeatLostError("its file system shows other files than this machine's")


def _read(files: Sequence[FileHere]) -> dict[str, bytes]:
    try:
        return contents_of(files)
    except OSError as error:
        raise DocumentError(
            FailureCode.UNREADABLE_FILE,
            f"It cannot be read: {error.strerror or error}.",
            remedy="check that the file is still there and readable; `aegis retry` tries again.",
            retryable=True,
        ) from error


def _on_its_cards(payload: dict[str, Any], share: Share) -> dict[str, Any]:
    """A seat uses the cards of its share, which it counts from 0, and without a share none that it only finds."""
    device, options = payload.get("device"), payload.get("options")
    if isinstance(device, str):
        payload = {**payload, "device": _device(device, share)}
    if isinstance(options, dict) and "device" in options:
        payload = {**payload, "options": {**options, "device": _device(options["device"], share)}}
    return payload


def _device(wanted: str, share: Share) -> str:
    if share.gpus:
        return wanted.partition(":")[0]
    return "cpu" if wanted == "auto" else wanted


def _name(seat: SeatHandle) -> str:
    return seat.info.host if seat.info is not None else "a node"


def _ended() -> ServiceError:
    return ServiceError(
        "The worker processes were ended while they worked.", remedy="nothing to do: the next run goes on."
    )
