"""Measures model calls through gateway, ledger and client, against a scripted server on this machine.

    .venv/bin/python -m scripts.benchmark_llm [ROUNDS]

Prints chats per second of 32 at once that take 200 ms each, beside a bare aiohttp client, and the CPU time that one
chat, one embedding of 64 texts, the gateway alone and the first call of a process take.
"""

import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from aegis_dagster.domain.accounts import AccountLimits, BudgetRefusal, Reservation, Settlement
from aegis_dagster.domain.llm import AskedFor, LLMTask, Message, TaskType
from aegis_dagster.domain.money import NanoUsd
from aegis_dagster.llm.answer import Answer
from aegis_dagster.llm.client import Wire
from aegis_dagster.llm.gateway import Gateway
from aegis_dagster.llm.prices import PriceList
from aegis_dagster.llm.providers import Model, Provider
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster.stores.database import open_database
from aegis_dagster.stores.ledger.ledger import Ledger
from aegis_dagster_tests.support.asking import PRICE, provider
from aegis_dagster_tests.support.llm_server import Behaviour, LLMServer, Rule, scripted_server

LATENCY_SECONDS = 0.2
AT_ONCE = 32
MOST = AT_ONCE / LATENCY_SECONDS  # upper bound of chats per second
CHATS = 1600  # 10 s: the losses in the first and the last wave are small in comparison
EMBEDDINGS = 48
DIMENSIONS = 1024
PASSAGE = "Alice met Bob in Paris. " * 60
FOR = AskedFor("reports", "d1")
CHAT = LLMTask(
    TaskType.SUMMARY, (Message("system", "Be brief."), Message("user", PASSAGE)), max_tokens=50, asked_for=FOR
)
EMBEDDING = LLMTask(TaskType.EMBEDDING, texts=tuple(f"{n} {PASSAGE}" for n in range(64)), asked_for=FOR)


def main() -> None:
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
        with tempfile.TemporaryDirectory() as folder, scripted_server() as server:
            asyncio.run(_measure(Path(folder), server))
    print(f"CPU of the gateway alone: {min(asyncio.run(gateway_alone()) for _ in range(3)):.2f} ms a call")
    for kind in ("chat", "embedding"):
        command = [sys.executable, "-m", "scripts.benchmark_llm", "--first", kind]
        print(subprocess.run(command, capture_output=True, text=True, check=True).stdout, end="")


async def _measure(folder: Path, server: LLMServer) -> None:
    server.script([Rule(Behaviour(latency_seconds=LATENCY_SECONDS))])
    bare = await _bare(server)
    model = Model("m", frozenset(TaskType), dimensions=DIMENSIONS, parameters={"send_dimensions": True})
    cloud = provider("cloud", server.v1, concurrency=AT_ONCE, models={"m": model}, timeout_seconds=600.0)
    clock = SystemClock()
    engine = open_database(f"sqlite:///{folder / 'aegis.db'}")
    ledger = Ledger(engine, clock, AccountLimits(providers={"cloud": NanoUsd(10**15)}))
    gateway = Gateway([cloud], PriceList({("cloud", "m"): PRICE}), ledger, Wire(), clock, run_id="run-1")
    await _ask(gateway, [CHAT] * AT_ONCE)  # imports and connections
    seconds, thread, process = await _ask(gateway, [CHAT] * CHATS)
    print(
        f"{CHATS / seconds:.1f} chats/s of {MOST:.0f} possible, {bare:.1f} without us; "
        f"CPU a chat: {thread / CHATS * 1000:.1f} ms event loop, {process / CHATS * 1000:.1f} ms all threads"
    )
    await _ask(gateway, [EMBEDDING] * 2)
    _, thread, process = await _ask(gateway, [EMBEDDING] * EMBEDDINGS)
    print(
        f"CPU an embedding of {len(EMBEDDING.texts)} texts, {DIMENSIONS} dimensions: "
        f"{thread / EMBEDDINGS * 1000:.1f} ms event loop, {process / EMBEDDINGS * 1000:.1f} ms all threads"
    )
    await gateway.aclose()
    await ledger.aclose()
    engine.dispose()


async def _ask(gateway: Gateway, tasks: Sequence[LLMTask]) -> tuple[float, float, float]:
    """Seconds, CPU seconds of the event loop's thread, CPU seconds of all threads."""
    began, thread, process = time.perf_counter(), time.thread_time(), time.process_time()
    await asyncio.gather(*map(gateway.ask, tasks))
    return time.perf_counter() - began, time.thread_time() - thread, time.process_time() - process


async def _bare(server: LLMServer) -> float:
    body = {"model": "any", "messages": [{"role": "user", "content": PASSAGE}], "max_tokens": 50}
    slots = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call() -> None:
            async with slots, session.post(f"{server.v1}/chat/completions", json=body) as response:
                await response.json()

        await asyncio.gather(*(call() for _ in range(AT_ONCE)))
        began = time.perf_counter()
        await asyncio.gather(*(call() for _ in range(CHATS)))
        return CHATS / (time.perf_counter() - began)


class NoLedger:
    """Takes every reservation and forgets it."""

    async def reserve(self, reservation: Reservation) -> BudgetRefusal | None:
        return None

    async def settle(self, settlement: Settlement) -> None:
        return None


class NoWire(Wire):
    """Answers at once."""

    async def call(self, provider: Provider, model: Model, task: LLMTask) -> Answer:
        return Answer("short", "stop", {"prompt_tokens": 400, "completion_tokens": 1, "total_tokens": 401})


async def gateway_alone() -> float:
    """CPU milliseconds of a call without ledger and client."""
    free = provider("own", "http://nowhere", free=True, requests_per_minute=10**6, tokens_per_minute=10**9)
    gateway = Gateway([free], PriceList(), NoLedger(), NoWire(), SystemClock(), run_id="run-1")
    _, thread, _ = await _ask(gateway, [CHAT] * 500)
    return thread / 500 * 1000


def first_call(kind: str) -> None:
    """What the first call adds to a process that has everything else imported."""

    async def call(server: LLMServer) -> None:
        wire = Wire()
        task = CHAT if kind == "chat" else EMBEDDING
        await wire.call(provider("p", server.v1), Model("m", frozenset()), task)
        await wire.aclose()

    with scripted_server() as server:
        before, cpu = _resident_mb(), time.process_time()
        asyncio.run(call(server))
        cpu, more = time.process_time() - cpu, _resident_mb() - before
        print(f"first {kind} of a process: {cpu:.1f} CPU-s, {more:.0f} MB more")


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


if __name__ == "__main__":
    first_call(sys.argv[2]) if sys.argv[1:2] == ["--first"] else main()
