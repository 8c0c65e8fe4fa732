"""A process that sends the gateway many tasks at once, for `warm_processes`.

It builds everything from the settings, as the stages do, and prints the outcome of its tasks as JSON.
"""

import asyncio
import json
from collections import Counter
from contextlib import suppress

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.llm import AskedFor, LLMTask, Message, TaskType
from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import BudgetExhausted, Deferred, DocumentError
from aegis_dagster.llm.client import Wire
from aegis_dagster.llm.gateway import Gateway
from aegis_dagster.llm.providers import Model, Provider
from aegis_dagster.llm.retry_policy import CallFailed
from aegis_dagster.settings import load_settings

SECRET = "the-harbour-master's-secret"  # stands in every prompt, and must stand nowhere else


def task(seed: int, number: int) -> LLMTask:
    """A unique task; no two cost the same."""
    words = " ".join(f"w{seed}-{number}-{place}" for place in range(20 + (number * 7) % 50))
    asked_for = AskedFor(CollectionName("harbour"), f"harbour/{seed}-{number}.txt", Stage.GRAPH)
    message = Message("user", f"{SECRET} {words}")
    return LLMTask(TaskType.SUMMARY, messages=(message,), max_tokens=200, asked_for=asked_for)


async def ended_by(gateway: Gateway, asked: LLMTask) -> str:
    """The outcome of a task; one that has to wait for a provider is repeated, as a document is in the next run."""
    for _ in range(100):
        try:
            await gateway.ask(asked)
        except BudgetExhausted as error:
            return error.reason
        except Deferred:
            await asyncio.sleep(0.05)
        except DocumentError as error:
            return error.code
        else:
            return "answered"
    return "providers"


async def ask_all(calls: int, at_once: int, seed: int) -> dict[str, int]:
    """Send the tasks, a limited number at a time. Returns the counts of their outcomes."""
    models = Project(load_settings()).models(f"caller-{seed}")
    ended: Counter[str] = Counter()
    numbers = iter(range(calls))

    async def worker() -> None:
        for number in numbers:
            ended[await ended_by(models.gateway, task(seed, number))] += 1

    try:
        await asyncio.gather(*(worker() for _ in range(at_once)))
    finally:
        await models.aclose()
    return dict(ended)


def prepare() -> None:
    """Make a call that reaches no server: the imports of a process's first call take seconds."""

    async def call() -> None:
        wire = Wire()
        nobody = Provider("nobody", "http://127.0.0.1:9/v1", "", timeout_seconds=60.0)
        with suppress(CallFailed):
            await wire.call(nobody, Model("none", frozenset(TaskType)), task(0, 0))
        await wire.aclose()

    asyncio.run(call())


def main(calls: str, at_once: str, seed: str) -> None:
    """Entry point of a forked process."""
    print(json.dumps(asyncio.run(ask_all(int(calls), int(at_once), int(seed)))))
