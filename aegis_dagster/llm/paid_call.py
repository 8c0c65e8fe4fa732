"""One call with its money: reserve, send, settle. Whatever happens in between, the reservation is settled.

A process that dies leaves its reservation behind; the ledger counts it as spent when its time to live is over.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from aegis_dagster.domain.accounts import BudgetRefusal, Reservation, Settlement
from aegis_dagster.domain.llm import LLMTask
from aegis_dagster.domain.money import NanoUsd
from aegis_dagster.domain.prices import Price, Usage, cost
from aegis_dagster.errors import ServiceError
from aegis_dagster.llm.client import Answer, RefusedAnswer, Slot
from aegis_dagster.llm.providers import Model, Provider
from aegis_dagster.llm.rate_limits import Sleep, Turn
from aegis_dagster.llm.retry_policy import DECISIONS, CallFailed, ErrorType
from aegis_dagster.llm.token_usage import read_usage
from aegis_dagster.ports import Ledger

OK = "ok"
CANCELLED = "cancelled"  # outcome of a call whose caller gave up
INTERNAL_ERROR = "internal_error"  # outcome of a call that a bug of ours ended

SETTLE_TRIES = 5
FIRST_SETTLE_WAIT_SECONDS = 0.5
GRACE_SECONDS = 10.0  # the wire's own time-out goes first; this one catches an answer that drips in for ever

log = logging.getLogger(__name__)
T = TypeVar("T")


class Transport(Protocol):
    """Sends a task to a provider; see `wire.Wire`."""

    async def call(self, provider: Provider, model: Model, task: LLMTask, slot: Slot | None = None) -> Answer:
        """The answer. Waits for the slot before anything is sent. Raises CallFailed."""
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


@dataclass(frozen=True, slots=True)
class Paid:
    """A call that was answered and settled."""

    answer: Answer
    usage: Usage
    cost: NanoUsd
    latency_seconds: float


class _Sending:
    """A call's slot, and when it got it: nothing is sent before."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._started: float | None = None

    @property
    def sent(self) -> bool:
        """Whether anything may have been sent."""
        return self._started is not None

    @property
    def seconds(self) -> float:
        """Since it was sent."""
        return 0.0 if self._started is None else time.perf_counter() - self._started

    async def send(self) -> None:
        await self._turn.send()
        self._started = self._started or time.perf_counter()

    def done(self) -> None:
        self._turn.done()


class OnTheirWay:
    """The calls of this process that hold a reservation. May be used by one event loop after another."""

    def __init__(self) -> None:
        self._calls = 0
        self.settled = 0  # so many so far
        self._settled = asyncio.Event()

    @contextmanager
    def call(self) -> Iterator[None]:
        """One is on its way inside the block, and settled at its end."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            self.settled += 1
            settled, self._settled = self._settled, asyncio.Event()
            settled.set()

    async def one_is_settled(self) -> bool:
        """Wait until some call is settled; False at once where none is on its way."""
        if self._calls == 0:
            return False
        await self._settled.wait()
        return True


def _fits_later(refusal: BudgetRefusal) -> bool:
    """Whether the amount would fit if nothing else were reserved."""
    account = refusal.account
    return account.limit is not None and account.spent + refusal.wanted <= account.limit


@dataclass(frozen=True, slots=True)
class PaidCalls:
    """Makes calls that are reserved before and settled after."""

    ledger: Ledger
    wire: Transport
    sleep: Sleep
    on_their_way: OnTheirWay = field(default_factory=OnTheirWay)

    async def make_when_it_fits(
        self, reservation: Reservation, provider: Provider, model: Model, task: LLMTask, price: Price, turn: Turn
    ) -> Paid | BudgetRefusal:
        """As `make`; what does not fit only because of calls that are on their way waits for them.

        A reservation is several times what a call costs in the end: without waiting, many calls at once would be
        turned away from an account that is hardly used.
        """
        while True:
            before = self.on_their_way.settled
            paid = await self.make(reservation, provider, model, task, price, turn)
            if not isinstance(paid, BudgetRefusal) or not _fits_later(paid):
                return paid
            if before == self.on_their_way.settled and not await self.on_their_way.one_is_settled():
                return paid

    async def make(
        self, reservation: Reservation, provider: Provider, model: Model, task: LLMTask, price: Price, turn: Turn
    ) -> Paid | BudgetRefusal:
        """Reserve, wait for a slot, call, give the slot back, settle.

        Raises CallFailed (settled with 0, or kept as unknown where the provider may bill it), ServiceError (the
        ledger did not take the reservation: nothing was sent). An answer whose settlement the ledger does not take
        is returned all the same: the reservation stays and is never free.
        """
        refusal = await self._reserve(reservation)
        if refusal is not None:
            return refusal
        with self.on_their_way.call():
            return await self._send_and_settle(reservation, provider, model, task, price, turn)

    async def _send_and_settle(
        self, reservation: Reservation, provider: Provider, model: Model, task: LLMTask, price: Price, turn: Turn
    ) -> Paid:
        sending = _Sending(turn)
        pictures = 1 if task.picture else 0

        async def settle(outcome: str, usage: Usage | None, paid: NanoUsd | None) -> float:
            seconds = sending.seconds
            if paid is None and not sending.sent:  # nothing can have been billed
                paid = NanoUsd(0)
            await uninterrupted(self._settle(Settlement(reservation.call_id, outcome, usage, paid, seconds)))
            return seconds

        try:
            try:
                answer = await self._send(provider, model, task, sending)
            finally:
                sending.done()
            usage = read_usage(task, answer, free=price.free)
            paid = cost(usage, price, pictures=pictures)
        except RefusedAnswer as failure:  # a 200: the model ran, and the provider bills what it says
            usage = read_usage(task, failure.answer, free=price.free)
            await settle(failure.error_type, usage, cost(usage, price, pictures=pictures))
            raise
        except CallFailed as failure:
            billed = DECISIONS[failure.error_type].billed
            await settle(failure.error_type, None, None if billed else NanoUsd(0))
            raise
        except asyncio.CancelledError:
            await settle(CANCELLED, None, None)
            raise
        except Exception:
            await settle(INTERNAL_ERROR, None, None)
            raise
        seconds = await settle(OK, usage, paid)
        if paid > reservation.amount:  # the ledger counts it; the log says which model it is
            log.warning(
                "Call %s to %s/%s cost %d nano-USD, more than the %d that were reserved.",
                *(reservation.call_id, provider.name, model.name, paid, reservation.amount),
            )
        return Paid(answer, usage, paid, seconds)

    async def _send(self, provider: Provider, model: Model, task: LLMTask, slot: Slot) -> Answer:
        try:
            async with asyncio.timeout(2 * provider.timeout_seconds + GRACE_SECONDS):  # it may wait for a slot first
                return await self.wire.call(provider, model, task, slot)
        except TimeoutError:
            raise CallFailed(ErrorType.TIMEOUT, f"{provider.name} did not finish its answer in time.") from None

    async def _reserve(self, reservation: Reservation) -> BudgetRefusal | None:
        """Reserve; a caller that gives up meanwhile leaves nothing behind."""
        work = asyncio.ensure_future(self.ledger.reserve(reservation))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await uninterrupted(self._take_back(work, reservation))
            raise

    async def _take_back(self, work: asyncio.Future[BudgetRefusal | None], reservation: Reservation) -> None:
        await asyncio.wait({work})
        if work.cancelled() or (work.exception() is None and work.result() is None):
            await self._settle(Settlement(reservation.call_id, CANCELLED, None, NanoUsd(0), 0.0))

    async def _settle(self, settlement: Settlement) -> None:
        for tries in range(1, SETTLE_TRIES + 1):
            try:
                return await self.ledger.settle(settlement)
            except ServiceError as error:
                if tries == SETTLE_TRIES:
                    log.error("Call %s stays reserved until it expires: %s", settlement.call_id, error)
                    return None
            await self.sleep(FIRST_SETTLE_WAIT_SECONDS * 2 ** (tries - 1))
        return None


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Do work to its end even when the caller is cancelled meanwhile; the cancellation is raised after it."""
    task = asyncio.ensure_future(work)
    interrupted: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            interrupted = error
    if interrupted is not None:
        if not task.cancelled() and task.exception() is not None:
            log.error("Work of a cancelled call failed: %s", type(task.exception()).__name__)
        raise interrupted
    return task.result()
