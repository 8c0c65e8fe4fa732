"""Ledgers with calls of a known price, written by the real ledger."""

import asyncio
from datetime import datetime
from decimal import Decimal

import dagster as dg

from aegis_dagster.composition.models import account_limits
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.accounts import AccountKey, AccountKind, Reservation, Settlement
from aegis_dagster.domain.llm import AskedFor, TaskType
from aegis_dagster.domain.money import NanoUsd, month_of
from aegis_dagster.domain.prices import Usage
from aegis_dagster.domain.stages import Stage
from aegis_dagster.stores.ledger.ledger import Ledger
from aegis_dagster_tests.support.clock import SetClock

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
USD = 1_000_000_000
SEVERITIES = {
    **{f"{name}_under_soft_threshold": WARN for name in ("local", "dashscope", "openai")},
    **{f"{name}_under_limit": ERROR for name in ("local", "dashscope", "openai")},
    "no_unpriced_call": ERROR,
    "providers_answer": WARN,
    "estimated_usage_share": WARN,
    "no_cost_above_reservation": ERROR,
    "ledger_adds_up": ERROR,
}


def pay(
    project: Project,
    *,
    provider: str = "openai",
    model: str = "gpt-4.1-mini",
    task_type: TaskType = TaskType.SUMMARY,
    collection: str = "c",
    calls: int = 1,
    usd: str = "0.001",
    reserved_usd: str | None = None,
    usage: Usage | None = None,
    outcome: str = "ok",
    price_version: str = "test-1",
    at: datetime | None = None,
    settled: bool = True,
) -> None:
    """Add calls to the project's ledger, each at a price in USD; at: another time than now."""
    clock = SetClock()
    clock.time = at or project.clock.now()
    cost = NanoUsd(int(Decimal(usd) * USD))
    amount = cost if reserved_usd is None else NanoUsd(int(Decimal(reserved_usd) * USD))

    async def make() -> None:
        ledger = Ledger(project.engine, clock, account_limits(project.settings))
        for number in range(calls):
            call_id = f"{provider}-{model}-{clock.time}-{number}-{ids()}"
            asked_for = AskedFor(collection, f"{collection}/a.txt", Stage.GRAPH)
            refusal = await ledger.reserve(
                Reservation(
                    call_id,
                    provider,
                    model,
                    task_type,
                    asked_for,
                    "run-1",
                    1,
                    amount,
                    price_version,
                    seconds_to_live=60,
                )
            )
            assert refusal is None
            if settled:
                said = usage or Usage(input_tokens=100, output_tokens=10)
                await ledger.settle(Settlement(call_id, outcome, said, cost, latency_seconds=0.1))
        await ledger.aclose()

    asyncio.run(make())


_last_id = 0


def ids() -> int:
    global _last_id
    _last_id += 1
    return _last_id


def set_limit(project: Project, provider: str, usd: str) -> None:
    key = AccountKey(AccountKind.PROVIDER, provider, month_of(project.clock.now()))
    project.choices.ledger.set_limit(key, NanoUsd(int(Decimal(usd) * USD)))
