"""The seats of one share: who waits for one, and how they grow and shrink with the cluster."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence

from aegis_dagster.errors import AegisError, ConfigurationError, ServiceError
from aegis_dagster.workers.ray.cluster import Node, Share, there_is
from aegis_dagster.workers.ray.handles import UNUSED_SECONDS, SeatHandle, SeatLostError
from aegis_dagster.workers.ray.seat import SeatPlan

_SOON_SECONDS = 10.0  # within which a cluster with room has a seat begun
_STARTS = 5  # that may fail one after the other

logger = logging.getLogger(__name__)


class Desk:
    """Gives out seats. Every method is called from one event loop."""

    def __init__(self, share: Share, plan: SeatPlan, used_by: str, most: int, waiting_seconds: float) -> None:
        """used_by: the tasks, in words."""
        self.share = share
        self.others: Collection[Desk] = ()
        self.lost: Callable[[], None] = lambda: None
        self._plan, self._used_by, self._most, self._waiting_seconds = plan, used_by, most, waiting_seconds
        self._idle: dict[SeatHandle, float] = {}  # and since when
        self._busy: set[SeatHandle] = set()
        self._starting: dict[asyncio.Task[None], SeatHandle] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[asyncio.Future[SeatHandle], str]] = deque()
        self._empty_since: float | None = None
        self._told = False
        self._failed_starts = 0
        self._closed = False

    @property
    def there(self) -> list[SeatHandle]:
        """The seats that are there."""
        return [*self._idle, *self._busy]

    @property
    def starting(self) -> int:
        """How many are asked for and not there yet."""
        return len(self._starting)

    @property
    def queue(self) -> int:
        """How many tasks wait."""
        return len(self._waiting)

    @property
    def starves(self) -> bool:
        """Whether tasks wait and there is no seat at all."""
        return bool(self._waiting) and not self._idle and not self._busy

    def add(self, seat: SeatHandle) -> None:
        """A seat that was kept, or that nobody waits for."""
        self._idle[seat] = asyncio.get_running_loop().time()

    async def take(self, avoided: str = "") -> SeatHandle:
        """A seat, not on the node `avoided` if another one is free. Raises ServiceError, ConfigurationError."""
        if self._idle:
            seat = self._taken(avoided)
            self._busy.add(seat)
            return seat
        future: asyncio.Future[SeatHandle] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, avoided))
        self._grow()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.give_back(future.result(), healthy=True)
            raise
        finally:
            if (future, avoided) in self._waiting:
                self._waiting.remove((future, avoided))

    def give_back(self, seat: SeatHandle, *, healthy: bool) -> None:
        """Nobody uses the seat any more; not healthy: it ends."""
        self._busy.discard(seat)
        if not healthy or self._closed:
            seat.kill()
            self._grow()
        elif any(other.starves for other in self.others if other is not self):
            self._end(seat)
        else:
            self._hand_on(seat)

    def look(self, found: Sequence[Node]) -> None:
        """Compare what is asked for with the nodes that there are."""
        now = asyncio.get_running_loop().time()
        self._end_unused(now)
        if not self.starves:
            self._empty_since, self._told = None, False
            return
        for other in self.others:
            if other is not self and (seat := other.spare()) is not None:
                self._end(seat)
        self._empty_since = self._empty_since or now
        fits = any(node.holds(self.share) for node in found)
        if any(other.there for other in self.others if other is not self):
            self._empty_since = now  # room comes free: it is ours
        elif not self._told and (not fits or now - self._empty_since >= _SOON_SECONDS):
            self._told = True
            logger.warning("%s It is waited for, %g s at most.", self._shortage(found, fits), self._waiting_seconds)
        if now - self._empty_since >= self._waiting_seconds:
            self._refuse(self._no_room(found, fits))

    def spare(self) -> SeatHandle | None:
        """A seat that nobody needs now; it is the caller's."""
        return self._taken() if self._idle and not self._waiting else None

    async def close(self) -> list[SeatHandle]:
        """End all that is not idle. Returns the seats that are."""
        self._closed = True
        self._refuse(ServiceError("The seats were ended.", remedy="nothing to do: the next run goes on."))
        for starting, seat in self._starting.items():
            starting.cancel()
            seat.kill()
        for seat in self._busy:
            seat.kill()
        await asyncio.gather(*self._starting, *self._ending, return_exceptions=True)
        idle = list(self._idle)
        self._idle.clear()
        return idle

    def _grow(self) -> None:
        """Ask for a seat for each task that waits, up to the most."""
        while (
            not self._closed
            and len(self._waiting) > len(self._starting)
            and len(self._starting) + len(self._idle) + len(self._busy) < self._most
        ):
            seat = SeatHandle(self.share, self._plan)
            starting = asyncio.ensure_future(self._start(seat))
            self._starting[starting] = seat

    async def _start(self, seat: SeatHandle) -> None:
        task = asyncio.current_task()
        failed: AegisError | None = None
        try:
            await seat.begin()
            self._failed_starts = 0
        except SeatLostError as error:
            self._failed_starts += 1
            self.lost()
            logger.warning("A seat could not begin: %s", error)
            if self._failed_starts >= _STARTS:
                failed = ServiceError(
                    f"{self._failed_starts} seats one after the other could not begin: {error}",
                    remedy="look at the nodes with `ray status` and at Ray's logs there.",
                )
            else:
                await asyncio.sleep(1)
        except ConfigurationError as error:
            failed = error
        finally:
            if task is not None:
                self._starting.pop(task, None)
        if failed is not None:
            seat.kill()
            self._refuse(failed)
        elif seat.info is not None and not self._closed:
            self._hand_on(seat)
        else:
            seat.kill()
            self._grow()

    def _hand_on(self, seat: SeatHandle) -> None:
        """To the first who waits and does not avoid its node, or else to the first."""
        node = seat.info.node if seat.info is not None else ""
        for future, avoided in sorted(self._waiting, key=lambda one: one[1] == node):
            self._waiting.remove((future, avoided))
            if not future.done():
                self._busy.add(seat)
                future.set_result(seat)
                return
        self.add(seat)

    def _taken(self, avoided: str = "") -> SeatHandle:
        """The idle one that was used last, not on the node `avoided` if there is another."""
        seat = min(reversed(self._idle), key=lambda seat: seat.info is not None and seat.info.node == avoided)
        del self._idle[seat]
        return seat

    def _end_unused(self, now: float) -> None:
        """A step may ask models for hours, and use no seat meanwhile."""
        for seat in [seat for seat, since in self._idle.items() if now - since >= UNUSED_SECONDS]:
            del self._idle[seat]
            self._end(seat)

    def _end(self, seat: SeatHandle) -> None:
        ending = asyncio.ensure_future(seat.end())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _refuse(self, error: AegisError) -> None:
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)
        self._empty_since, self._told = None, False

    def _shortage(self, found: Sequence[Node], fits: bool) -> str:
        has = "that much on no node" if not fits else "no room for it now"
        return f"A seat for {self._used_by} asks for {self.share}; the Ray cluster has {has} ({there_is(found)})."

    def _no_room(self, found: Sequence[Node], fits: bool) -> AegisError:
        waited = f"{self._shortage(found, fits)} It was waited for {self._waiting_seconds:g} s."
        if fits:
            return ServiceError(
                waited, remedy="add nodes, wait until other runs end or lower their workers.seats; then try again."
            )
        return ConfigurationError(waited, remedy="add a node that has it, or ask for less in the group `workers`.")
