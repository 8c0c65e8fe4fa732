"""One paid call: reserve, send, settle. Whatever happens in between, the reservation is settled.

A process that dies leaves its reservation behind; the ledger counts it as spent once its time to live has passed.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aegis_dagster.domain.accounts import BudgetRefusal, Reservation, Settlement
from aegis_dagster.domain.llm import LLMTask
from aegis_dagster.domain.money import NanoUsd
from aegis_dagster.domain.prices import Price, Usage, cost
from aegis_dagster.errors import ServiceError
from aegis_dagster.llm.answer import Answer
from aegis_dagster.llm.client import Wire
from aegis_dagster.llm.providers import Model, Provider
from aegis_dagster.llm.rate_limits import Sleep, Turn
from aegis_dagster.llm.retry_policy import DECISIONS, CallFailed
from aegis_dagster.llm.token_usage import read_usage
from aegis_dagster.ports import Ledger

OK = "ok"
CANCELLED = "cancelled"  # outcome of a call whose caller gave up
INTERNAL_ERROR = "internal_error"  # outcome of a call that ended with a bug of ours

SETTLE_TRIES = 5
FIRST_SETTLE_WAIT_SECONDS = 0.5

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One call to make: the provider, model and task, the price, the reservation and the provider's queue."""

    provider: Provider
    model: Model
    task: LLMTask
    price: Price
    reservation: Reservation
    turn: Turn

    def cost(self, usage: Usage) -> NanoUsd:
        """The cost of the call with this usage."""
        return cost(usage, self.price, pictures=1 if self.task.picture else 0)


@dataclass(frozen=True, slots=True)
class Paid:
    """A call that was answered and settled."""

    answer: Answer
    usage: Usage
    cost: NanoUsd
    latency_seconds: float


class OnTheirWay:
    """The calls of this process that hold a reservation. May be used by one event loop after another."""

    def __init__(self) -> None:
        self._calls = 0
        self.settled = 0  # how many so far
        self._settled = asyncio.Event()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count a call as pending inside the block, and as settled at its end."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            self.settled += 1
            settled, self._settled = self._settled, asyncio.Event()
            settled.set()

    async def one_is_settled(self) -> bool:
        """Wait until some call is settled; returns False at once if none is pending."""
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
    """Makes calls, each reserved before it is sent and settled after."""

    ledger: Ledger
    wire: Wire
    sleep: Sleep
    on_their_way: OnTheirWay = field(default_factory=OnTheirWay)

    async def make(self, call: Call) -> Paid | BudgetRefusal:
        """Reserve, wait for a slot, send, release the slot, settle.

        A reservation that fits the budget except for pending calls waits for them: a reservation is several times the
        final cost, so many concurrent calls would otherwise be refused by an account that has hardly spent anything.

        Raises CallFailed (settled with the reported usage; if none is reported, with 0, or kept as unknown if the
        provider may bill it), ServiceError (the ledger did not record the reservation: nothing was sent). An answer
        that the ledger fails to settle is returned all the same: its reservation stays and counts as spent when it
        expires.
        """
        await self.wire.prepare(call.task)  # before money is reserved: who gives up meanwhile pays nothing
        others = self.on_their_way
        while True:
            before = others.settled
            refusal = await self._reserve(call.reservation)
            if refusal is None:
                with others.call():
                    return await self._send_and_settle(call)
            if not _fits_later(refusal) or (before == others.settled and not await others.one_is_settled()):
                return refusal

    async def _send_and_settle(self, call: Call) -> Paid:
        sent: float | None = None

        async def settle(outcome: str, usage: Usage | None, paid: NanoUsd | None, reason: str = "") -> float:
            """paid: None if the billed amount is unknown. Returns the seconds since the call was sent."""
            seconds = 0.0 if sent is None else time.perf_counter() - sent
            paid = NanoUsd(0) if sent is None else paid
            ending = Settlement(call.reservation.call_id, outcome, usage, paid, seconds, reason)
            await uninterrupted(self._settle(ending))
            return seconds

        try:
            await call.turn.send()
            sent = time.perf_counter()
            try:
                answer = await self.wire.call(call.provider, call.model, call.task)
            finally:
                call.turn.done()
            usage = read_usage(call.task, answer, call.price)
            paid = call.cost(usage)
        except CallFailed as failure:
            if failure.answer is not None:  # the model ran, and the provider bills the reported usage
                usage = read_usage(call.task, failure.answer, call.price)
                await settle(failure.error_type, usage, call.cost(usage), failure.reason)
            else:
                billed = DECISIONS[failure.error_type].billed
                await settle(failure.error_type, None, None if billed else NanoUsd(0), failure.reason)
            raise
        except asyncio.CancelledError:
            await settle(CANCELLED, None, None)
            raise
        except Exception:
            await settle(INTERNAL_ERROR, None, None)
            raise
        seconds = await settle(OK, usage, paid)
        if paid > call.reservation.amount:  # the ledger counts it; the log says which model it is
            log.warning(
                "Call %s to %s/%s cost %d nano-USD, more than the %d that were reserved.",
                *(call.reservation.call_id, call.provider.name, call.model.name, paid, call.reservation.amount),
            )
        return Paid(answer, usage, paid, seconds)

    async def _reserve(self, reservation: Reservation) -> BudgetRefusal | None:
        """Reserve; if the caller is cancelled meanwhile, no reservation remains."""
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
    """Finish the work even if the caller is cancelled meanwhile; the cancellation is raised afterwards."""
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
