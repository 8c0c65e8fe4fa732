"""A gateway with real HTTP and the real ledger, for tests, and the figures that they compare."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from aegis_dagster import ports
from aegis_dagster.domain.accounts import AccountLimits
from aegis_dagster.domain.llm import AskedFor, Classification, LLMTask, Message, Quality, TaskType
from aegis_dagster.domain.money import NanoUsd
from aegis_dagster.domain.prices import Price, Tier, highest_cost
from aegis_dagster.domain.stages import Stage
from aegis_dagster.llm.client import Wire
from aegis_dagster.llm.gateway import Gateway, GatewayOptions
from aegis_dagster.llm.prices import PriceList
from aegis_dagster.llm.providers import Model, Provider
from aegis_dagster.llm.token_usage import most_tokens
from aegis_dagster.stores.database import open_database
from aegis_dagster.stores.ledger.ledger import Ledger
from aegis_dagster_tests.support.clock import SetClock

ALL_TASKS = frozenset(TaskType)
KEY = "sk-marker-key-0815"
TEXT = "Marker Ministry met Marker Museum"  # 5 words
SYSTEM = "secret instruction"  # 2 words
MAX_TOKENS = 20
INPUT = 1000  # nano-USD a token
CACHED = 100
OUTPUT = 3000
REASONING = 5000
PRICE = Price(
    tiers=(Tier(None, INPUT * 10**6, CACHED * 10**6, OUTPUT * 10**6, REASONING * 10**6),), version="aegis.yaml"
)
ANSWER_COST = 7 * INPUT + 5 * OUTPUT  # the scripted server echoes the last message
UNLIMITED = 1000 * 10**9
PATIENCE = 600.0  # seconds: long enough for an answer even if the machine pauses for a minute


class Sleeper:
    """Sleeps by moving the clock."""

    def __init__(self, clock: SetClock) -> None:
        self.clock = clock
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.move(seconds)
        await asyncio.sleep(0)


def provider(name: str, url: str, *, quality: Quality = Quality.STANDARD, **fields: Any) -> Provider:
    """A paid provider with one model `NAME-model` for every task."""
    model = Model(f"{name}-model", ALL_TASKS, quality=quality)
    made = Provider(name, url, KEY, models={model.name: model}, attempts=2, timeout_seconds=PATIENCE)
    return replace(made, **fields)


def ask_for(task_type: TaskType = TaskType.SUMMARY, **fields: Any) -> LLMTask:
    """A task of 7 tokens, as the scripted server counts."""
    task = LLMTask(
        task_type,
        messages=(Message("system", SYSTEM), Message("user", TEXT)),
        max_tokens=MAX_TOKENS,
        asked_for=AskedFor("reports", "d1", Stage.GRAPH),
    )
    return replace(task, **fields)


CONFIDENTIAL = ask_for(classification=Classification.CONFIDENTIAL)


def most(of: Provider, task: LLMTask) -> int:
    """The amount reserved for a call, in nano-USD."""
    [model] = of.models.values()
    return highest_cost(most_tokens(task, model), task.max_tokens, PRICE)


@dataclass
class Desk:
    """A gateway with its client, ledger and clock."""

    gateway: Gateway
    engine: sa.Engine
    ledger: Ledger
    clock: SetClock
    sleep: Sleeper
    make: Callable[[ports.Ledger], Gateway]

    def with_ledger(self, ledger: ports.Ledger) -> Gateway:
        """The same gateway over another ledger."""
        return self.make(ledger)

    async def aclose(self) -> None:
        """End what is open."""
        await self.gateway.aclose()
        await self.ledger.aclose()
        self.engine.dispose()

    def rows(self) -> list[Mapping[str, Any]]:
        """The ledger's calls, in the order of their attempts."""
        with self.engine.connect() as connection:
            rows = connection.execute(sa.text("SELECT * FROM llm_calls")).mappings().all()
        return sorted((dict(row) for row in rows), key=lambda row: (row["reserved_ms"], row["attempt"]))

    def endings(self) -> list[tuple[str, str, str, int]]:
        """(provider, outcome, status, cost) of each call."""
        return [(row["provider"], row["outcome"], row["status"], row["cost_nanousd"]) for row in self.rows()]

    def rolled_up(self) -> int:
        """The sum of the roll-ups, in nano-USD."""
        with self.engine.connect() as connection:
            return int(connection.execute(sa.text("SELECT SUM(cost_nanousd) FROM llm_usage")).scalar_one())

    def left_over(self) -> list[Mapping[str, Any]]:
        """Reservations that were never settled."""
        return [row for row in self.rows() if row["status"] == "reserved"]


def desk(
    folder: Path,
    providers: Sequence[Provider],
    *,
    limits: Mapping[str, int] | None = None,
    prices: Mapping[tuple[str, str], Price] | None = None,
    wire: Wire | None = None,
    options: GatewayOptions | None = None,
    clock: SetClock | None = None,
    account_limits: AccountLimits | None = None,
) -> Desk:
    """A desk with a fresh ledger. limits: nano-USD a month by provider."""
    clock = clock or SetClock()
    sleep = Sleeper(clock)
    own = {(one.name, model): PRICE for one in providers for model in one.models} if prices is None else prices
    budgets = {one.name: NanoUsd(UNLIMITED) for one in providers} | {
        name: NanoUsd(limit) for name, limit in (limits or {}).items()
    }
    engine = open_database(f"sqlite:///{folder / 'aegis.db'}")
    ledger = Ledger(engine, clock, account_limits or AccountLimits(providers=dict(budgets)))
    wire = wire or Wire(connect_seconds=PATIENCE)

    def make(ledger: ports.Ledger) -> Gateway:
        return Gateway(providers, PriceList(own), ledger, wire, clock, run_id="run-1", options=options, sleep=sleep)

    return Desk(make(ledger), engine, ledger, clock, sleep, make)
