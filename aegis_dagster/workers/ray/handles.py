"""Seats as the process sees them that drives a run: their actors, and which of them outlive an event loop.

An actor is not detached: it ends with this process, however that ends.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

from aegis_dagster.domain.visible import visible
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.workers.processes import at_end_of_block
from aegis_dagster.workers.ray.cluster import Share, asked, disconnect
from aegis_dagster.workers.ray.seat import Call, Done, SeatInfo, SeatPlan

_END_SECONDS = 5.0  # for a seat to remove what its worker has left
UNUSED_SECONDS = 60.0  # after which a seat is given back to the cluster: other runs wait for room
_OWN_SECONDS = 120.0  # of a call beyond the time limit of its task: a worker may have to load its libraries first

logger = logging.getLogger(__name__)


class SeatLostError(Exception):
    """A seat is gone with its node or its process, or does not answer."""


class SeatHandle:
    """One seat. Its methods may be called from any event loop."""

    def __init__(self, share: Share, plan: SeatPlan) -> None:
        """Nothing is asked for before `begin`."""
        self.share = share
        self.info: SeatInfo | None = None
        self.lacks: set[str] = set()  # what of a payload its node does not have: it is sent along at once
        # A model on a card needs more memory than a parser.
        self._plan = replace(plan, memory_mb=max(plan.memory_mb, share.memory_mb))
        self._actor: Any = None
        self._ended = False

    async def begin(self) -> SeatInfo:
        """Ask the cluster for it and wait until a node has room. Raises SeatLostError, ConfigurationError."""
        try:
            self._actor = await asked(self._made)
        except Exception as error:
            raise SeatLostError(visible(" ".join(str(error).split())[-600:])) from error
        self.info = info = cast(SeatInfo, await _answer(self._actor.begin.remote()))
        if info.unfit:
            raise ConfigurationError(
                f"The node {info.host} of the Ray cluster cannot work for this machine: {info.unfit}.",
                remedy="install there what constraints.txt names, with the same aegis_dagster, or take the node out.",
            )
        return info

    async def run(self, call: Call) -> Done:
        """Raises SeatLostError."""
        waited = call.timeout_seconds + _OWN_SECONDS
        try:
            return cast(Done, await asyncio.wait_for(_answer(self._actor.run.remote(call)), waited))
        except TimeoutError as error:
            raise SeatLostError(f"no answer after {waited:g} s") from error

    async def end(self) -> None:
        """End it, in seconds."""
        if self.info is not None:
            with suppress(SeatLostError, TimeoutError):
                await asyncio.wait_for(_answer(self._actor.end.remote()), _END_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it at once, whatever it does; without waiting, because nobody answers where the head is gone."""
        self._ended = True
        if self._actor is not None:
            threading.Thread(target=_kill, args=(self._actor,), daemon=True).start()

    def leave(self) -> Any:
        """Ask it to end, without waiting."""
        return self._actor.end.remote()

    def _made(self) -> Any:
        from aegis_dagster.workers.ray.actor import seat_actor

        actor = seat_actor(self.share, self._plan)
        if self._ended:  # meanwhile
            _kill(actor)
        return actor


def _kill(actor: Any) -> None:
    import ray

    with suppress(Exception):  # it is gone, or the cluster is
        ray.kill(actor, no_restart=True)


async def _answer(reference: Any) -> object:
    """What a call of an actor gives. Raises SeatLostError, and ConfigurationError where it cannot be there at all."""
    from ray.exceptions import RayError, RayTaskError

    try:
        return await reference
    except RayError as error:
        said = visible(" ".join(str(error).split())[-600:])
        if "ModuleNotFoundError" in said and "aegis_dagster" in said:
            raise ConfigurationError(
                "A node of the Ray cluster does not have aegis_dagster, or not what it needs.",
                remedy="pip install 'aegis_dagster[ingestion,ray]' on every node, in the Python that runs Ray there.",
            ) from error
        if isinstance(error, RayTaskError):
            logger.error("A seat stopped with an error that nobody expected: %s", said)
        raise SeatLostError(said) from error


class KeptSeats:
    """The seats that wait for the next step of this process.

    They wait for a while only: a step that asks models uses none for hours, and other runs wait for their room.
    """

    def __init__(self, seconds: float) -> None:
        """seconds: how long they wait."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._waiting: dict[threading.Timer, tuple[str, Sequence[SeatHandle]]] = {}  # what they were told, by their end

    def __len__(self) -> int:
        with self._lock:
            return sum(len(seats) for _, seats in self._waiting.values())

    def take(self, told: str) -> list[SeatHandle]:
        """Those that were told this; they are the caller's now."""
        with self._lock:
            found = [ending for ending, (what, _) in self._waiting.items() if what == told]
            return [seat for ending in found for seat in self._freed(ending)]

    def put(self, told: str, seats: Sequence[SeatHandle]) -> None:
        """Keep them."""
        if seats:
            ending = threading.Timer(self._seconds, lambda: self._end_unused(ending))
            ending.daemon = True
            with self._lock:
                self._waiting[ending] = (told, seats)
            ending.start()

    def end(self) -> None:
        """End them and the connection."""
        with self._lock:
            seats = [seat for ending in list(self._waiting) for seat in self._freed(ending)]
        _end_all(seats)
        disconnect()

    def _end_unused(self, ending: threading.Timer) -> None:
        with self._lock:
            seats = self._freed(ending)
        _end_all(seats)

    def _freed(self, ending: threading.Timer) -> Sequence[SeatHandle]:
        ending.cancel()
        return self._waiting.pop(ending, ("", ()))[1]


def _end_all(seats: Sequence[SeatHandle]) -> None:
    begun = [seat for seat in seats if seat.info is not None]
    if begun:
        import ray

        with suppress(Exception):  # the cluster is gone, and they are with it
            ray.wait([seat.leave() for seat in begun], num_returns=len(begun), timeout=_END_SECONDS)
    for seat in seats:
        seat.kill()


_kept: list[KeptSeats] = []


def kept_seats() -> KeptSeats | None:
    """Where seats wait for the next step of this process; None: they end with the step."""
    if not _kept:
        kept = KeptSeats(UNUSED_SECONDS)
        if not at_end_of_block(lambda: _end(kept)):
            return None
        _kept.append(kept)
    return _kept[0]


def _end(kept: KeptSeats) -> None:
    _kept.remove(kept)
    kept.end()
