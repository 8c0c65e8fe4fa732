"""The code of the processes in the ledger's tests. The fork server imports it once, so that workers start at once."""

import asyncio
import multiprocessing
import os
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier

from aegis_dagster.domain.accounts import AccountLimits
from aegis_dagster.domain.money import NanoUsd
from aegis_dagster.stores.database import open_database
from aegis_dagster.stores.ledger.ledger import Ledger
from aegis_dagster_tests.support.ledger_calls import reservation, settlement

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


class RunningClock:
    """Begins at a given time and runs on."""

    def __init__(self, start: datetime = datetime(2026, 1, 10, tzinfo=UTC)) -> None:
        self._start = start
        self._began = time.monotonic()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return time.monotonic() - self._began


def limits(nano: int | None) -> AccountLimits:
    return AccountLimits({"openai": None if nano is None else NanoUsd(nano)})


def start(target: Callable[..., None], *arguments: object) -> BaseProcess:
    process = PROCESSES.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def spend_until_refused(url: str, limit: int, seed: int, begin: Barrier) -> None:
    """Make calls of random size, 16 at once, until even the smallest is refused."""
    chance = random.Random(seed)

    async def caller(ledger: Ledger) -> None:
        while True:
            wanted = reservation(chance.randint(1, limit // 50))
            if await ledger.reserve(wanted) is None:
                cost = chance.choice([0, wanted.amount, chance.randint(0, wanted.amount), None])
                await ledger.settle(settlement(wanted.call_id, cost, outcome="timeout" if cost is None else "ok"))
            elif await ledger.reserve(smallest := reservation(1)) is None:
                await ledger.settle(settlement(smallest.call_id, 1))
            else:
                return

    _run(url, limit, begin, caller, callers=16)


def make_calls(url: str, calls: int, callers: int, begin: Barrier, end: Barrier | None) -> None:
    """Reserve and settle so many calls, so many at once."""

    async def caller(ledger: Ledger) -> None:
        for _ in range(calls // callers):
            wanted = reservation(1000)
            assert await ledger.reserve(wanted) is None
            await ledger.settle(settlement(wanted.call_id, 700))

    _run(url, None, begin, caller, callers=callers, end=end)


def make_calls_until_killed(url: str, journal: str) -> None:
    """Make calls until killed. Each reservation is written down at once: its call could have been sent."""
    written = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def caller(ledger: Ledger) -> None:
        while True:
            wanted = reservation(random.randint(1, 1000), seconds_to_live=3600)
            assert await ledger.reserve(wanted) is None
            os.write(written, f"{wanted.call_id}\n".encode())
            await asyncio.sleep(random.random() * 0.01)
            await ledger.settle(settlement(wanted.call_id, random.randint(1, wanted.amount)))

    _run(url, None, None, caller, callers=8)


def settle_all(url: str, call_ids: list[str], cost: int, begin: Barrier) -> None:
    """Settle these calls, each on its own, all at once."""

    async def caller(ledger: Ledger) -> None:
        await asyncio.gather(*(ledger.settle(settlement(call_id, cost)) for call_id in call_ids))

    _run(url, None, begin, caller, callers=1)


def _run(
    url: str,
    limit: int | None,
    begin: Barrier | None,
    caller: Callable[[Ledger], Awaitable[None]],
    *,
    callers: int,
    end: Barrier | None = None,
) -> None:
    """Run callers on a ledger of this process; they begin when all processes are ready."""

    async def together() -> None:
        ledger = Ledger(engine, RunningClock(), limits(limit))
        try:
            await asyncio.gather(*(caller(ledger) for _ in range(callers)))
        finally:
            await ledger.aclose()

    engine = open_database(url)
    with engine.connect():  # the first connection is made before the clock starts
        pass
    if begin is not None:
        begin.wait(200)
    asyncio.run(together())
    if end is not None:
        end.wait(200)
    engine.dispose()
