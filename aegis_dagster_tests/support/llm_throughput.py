"""Calls a second through gateway, ledger, client: `python -m aegis_dagster_tests.support.llm_throughput`."""

import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from aegis_dagster.domain.accounts import AccountLimits
from aegis_dagster.domain.llm import AskedFor, LLMTask, Message, TaskType
from aegis_dagster.domain.money import NanoUsd
from aegis_dagster.llm.client import Wire
from aegis_dagster.llm.gateway import Gateway
from aegis_dagster.llm.prices import PriceList
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster.stores.database import open_database
from aegis_dagster.stores.ledger.ledger import Ledger
from aegis_dagster_tests.support.asking import PRICE, provider
from aegis_dagster_tests.support.llm_server import Behaviour, LLMServer, Rule, scripted_server

LATENCY_SECONDS = 0.2
AT_ONCE = 32
MOST = AT_ONCE / LATENCY_SECONDS  # calls a second that nobody can exceed
CALLS = 1600  # 10 s: what the first and the last wave lose is little of it
PASSAGE = "Alice met Bob in Paris. " * 60
TASK = LLMTask(
    TaskType.SUMMARY,
    (Message("system", "Be brief."), Message("user", PASSAGE)),
    max_tokens=50,
    asked_for=AskedFor("reports", "d1"),
)


@dataclass(frozen=True, slots=True)
class Throughput:
    """One measurement. A bare aiohttp client against the same server shows what the machine has left to give."""

    calls_per_second: float
    bare_calls_per_second: float
    loop_ms: float  # CPU of the event loop's thread a call
    process_ms: float  # CPU of all threads a call, the ledger's writer with them


def measure(calls: int) -> Throughput:
    """Ask so many times, AT_ONCE at once, of a server that takes LATENCY_SECONDS."""
    with tempfile.TemporaryDirectory() as folder, scripted_server() as server:
        server.script([Rule(Behaviour(latency_seconds=LATENCY_SECONDS))])
        return asyncio.run(_measure(calls, Path(folder), server))


async def _measure(calls: int, folder: Path, server: LLMServer) -> Throughput:
    bare = await _bare(calls, server)
    cloud = provider("cloud", server.v1, concurrency=AT_ONCE)
    clock = SystemClock()
    engine = open_database(f"sqlite:///{folder / 'aegis.db'}")
    ledger = Ledger(engine, clock, AccountLimits(providers={"cloud": NanoUsd(10**15)}))
    prices = PriceList({("cloud", "cloud-model"): PRICE})
    gateway = Gateway([cloud], prices, ledger, Wire(), clock, run_id="run-1")
    await asyncio.gather(*(gateway.ask(TASK) for _ in range(AT_ONCE)))  # imports and connections
    began, thread, process = time.perf_counter(), time.thread_time(), time.process_time()
    await asyncio.gather(*(gateway.ask(TASK) for _ in range(calls)))
    seconds = time.perf_counter() - began
    found = Throughput(
        calls / seconds,
        bare,
        (time.thread_time() - thread) / calls * 1000,
        (time.process_time() - process) / calls * 1000,
    )
    await gateway.aclose()
    await ledger.aclose()
    engine.dispose()
    return found


async def _bare(calls: int, server: LLMServer) -> float:
    body = {"model": "any", "messages": [{"role": "user", "content": PASSAGE}], "max_tokens": 50}
    slots = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call() -> None:
            async with slots, session.post(f"{server.v1}/chat/completions", json=body) as response:
                await response.json()

        await asyncio.gather(*(call() for _ in range(AT_ONCE)))
        began = time.perf_counter()
        await asyncio.gather(*(call() for _ in range(calls)))
        return calls / (time.perf_counter() - began)


if __name__ == "__main__":
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
        one = measure(CALLS)
        print(
            f"{one.calls_per_second:.1f} calls/s of {MOST:.0f} possible, {one.bare_calls_per_second:.1f} without us; "
            f"CPU a call: {one.loop_ms:.1f} ms event loop, {one.process_ms:.1f} ms all threads"
        )
