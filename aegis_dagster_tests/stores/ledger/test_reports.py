"""Sums by any grouping, the same from roll-ups as from calls, and what metrics read."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Iterable

import pytest
import sqlalchemy as sa

from aegis_dagster.domain.accounts import LedgerTotals, Reservation, Settlement, UsageRow
from aegis_dagster.domain.llm import AskedFor, TaskType
from aegis_dagster.domain.money import Month, NanoUsd
from aegis_dagster.domain.prices import Usage
from aegis_dagster.domain.stages import Stage
from aegis_dagster.stores.ledger.ledger import Ledger
from aegis_dagster.stores.ledger.reports import GROUPS, ErrorCount, LedgerReports, MeanUsage, OpenReservations
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.ledger_calls import FEBRUARY, JANUARY, USAGE, estimated, reservation, settlement

SUMS = [name for name in UsageRow.__slots__ if name not in GROUPS]


async def a_mixed_ledger(ledger: Ledger, clock: SetClock, *, calls: int = 300) -> None:
    """Calls of three days in two months, of every kind and end, some lost and some still open."""
    chance = random.Random(4)
    for day in range(3):
        wanted = [_any_reservation(chance, f"{day}-{index}") for index in range(calls // 3)]
        await asyncio.gather(*(ledger.reserve(one) for one in wanted))
        ends = [_any_end(chance, one) for one in wanted if chance.random() < 0.9]
        await asyncio.gather(*(ledger.settle(one) for one in ends))
        if day < 2:
            clock.move(86_400)
            ledger.expire()


def _any_reservation(chance: random.Random, call_id: str) -> Reservation:
    return Reservation(
        call_id=call_id,
        provider=chance.choice(["local", "cloud"]),
        model=chance.choice(["small", "large"]),
        task_type=chance.choice(list(TaskType)),
        asked_for=AskedFor(chance.choice(["", "a", "b"]), chance.choice(["a/1", "b/2"]), chance.choice([None, *Stage])),
        run_id=chance.choice(["", "run-1", "run-2"]),
        attempt=1,
        amount=NanoUsd(chance.randint(0, 10**12)),
        price_version="test",
        seconds_to_live=600,
    )


def _any_end(chance: random.Random, call: Reservation) -> Settlement:
    tokens, output = chance.randint(0, 9000), chance.randint(0, 900)
    usage = Usage(tokens, chance.randint(0, tokens), output, chance.randint(0, output), chance.random() < 0.2)
    cost = chance.choice([None, NanoUsd(0), NanoUsd(chance.randint(0, 2 * call.amount))])
    outcome = chance.choice(["ok", "ok", "timeout", "server_error"])
    return Settlement(call.call_id, outcome, chance.choice([usage, usage, None]), cost, chance.random() * 40)


def summed(rows: Iterable[UsageRow], groups: Iterable[str]) -> dict[tuple[str, ...], list[int]]:
    """The rows added up by fewer groups."""
    found: dict[tuple[str, ...], list[int]] = {}
    for row in rows:
        sums = found.setdefault(tuple(getattr(row, name) for name in groups), [0] * len(SUMS))
        sums[:] = [old + getattr(row, name) for old, name in zip(sums, SUMS, strict=True)]
    return found


async def test_sums_are_the_same_from_calls_as_from_roll_ups_by_every_grouping(
    ledger: Ledger, clock: SetClock, reports: LedgerReports
) -> None:
    await a_mixed_ledger(ledger, clock)
    groups = [name for name in GROUPS if name != "document_id"]
    for size in (0, 1, 2, len(groups)):
        for by in itertools.combinations(groups, size):
            assert summed(reports.usage(by), by) == summed(reports.usage((*by, "document_id")), by)


async def test_sums_of_a_month_are_the_same_from_calls_as_from_roll_ups(
    ledger: Ledger, clock: SetClock, reports: LedgerReports
) -> None:
    await a_mixed_ledger(ledger, clock)
    for month in (None, JANUARY, FEBRUARY, Month("2026-03")):
        rolled = reports.usage(("model", "stage"), month=month)
        called = reports.usage(("model", "stage", "document_id"), month=month)
        assert summed(rolled, ["model", "stage"]) == summed(called, ["model", "stage"])
        assert bool(rolled) == (month != "2026-03")


async def test_the_sums_of_all_runs_are_the_sums_of_everything(
    ledger: Ledger, clock: SetClock, reports: LedgerReports
) -> None:
    await a_mixed_ledger(ledger, clock)
    by_run = [row for run in ("", "run-1", "run-2") for row in reports.usage(run_id=run)]
    assert summed(by_run, ["provider"]) == summed(reports.usage(), ["provider"])
    assert reports.usage(run_id="no such run") == []


async def test_rows_are_sorted_whole_numbers_and_name_only_what_they_are_grouped_by(
    ledger: Ledger, clock: SetClock, reports: LedgerReports
) -> None:
    await a_mixed_ledger(ledger, clock)
    rows = reports.usage(["collection", "provider", "document_id"])
    keys = [(row.provider, row.collection, row.document_id) for row in rows]
    assert keys == sorted(set(keys)) and len(keys) == 12
    assert {(row.month, row.day, row.model, row.task_type, row.stage) for row in rows} == {("", "", "", "", "")}
    assert {type(getattr(row, name)) for row in rows for name in SUMS} == {int}


async def test_totals_count_a_month_in_three_ways(ledger: Ledger, clock: SetClock, reports: LedgerReports) -> None:
    await a_mixed_ledger(ledger, clock)
    for month in (JANUARY, FEBRUARY):
        spent = NanoUsd(sum(row.cost for row in reports.usage(month=month)))
        assert spent > 0
        assert reports.totals(month) == LedgerTotals(month, spent, spent, spent)
    assert reports.totals(Month("2026-03")) == LedgerTotals(Month("2026-03"), NanoUsd(0), NanoUsd(0), NanoUsd(0))


async def test_one_call_is_written_down_with_all_that_is_known_of_it(ledger: Ledger, reports: LedgerReports) -> None:
    await ledger.reserve(reservation(600, "a"))
    assert reports.usage() == []  # it counts when it has ended
    assert reports.open_reservations(JANUARY) == OpenReservations(1, NanoUsd(600))
    await ledger.settle(settlement("a", 250, usage=estimated(USAGE)))
    assert reports.usage(GROUPS) == [
        UsageRow(
            month="2026-01",
            day="2026-01-31",
            provider="openai",
            model="gpt-4.1-mini",
            task_type="entity_extraction",
            stage="graph",
            collection="reports",
            document_id="reports/a.pdf",
            calls=1,
            failed_calls=0,
            input_tokens=100,
            cached_tokens=40,
            output_tokens=20,
            reasoning_tokens=5,
            cache_write_tokens=7,
            estimated_calls=1,
            unknown_calls=0,
            over_reservation_calls=0,
            cost=NanoUsd(250),
        )
    ]
    assert reports.open_reservations(JANUARY) == OpenReservations(0, NanoUsd(0))


async def test_means_count_only_calls_that_succeeded_with_reported_usage(
    ledger: Ledger, reports: LedgerReports
) -> None:
    task = TaskType.ENTITY_EXTRACTION
    assert reports.mean_usage(task, "openai", "gpt-4.1-mini") is None
    for index in range(7):
        await ledger.reserve(reservation(100, str(index)))
    await ledger.settle(settlement("0", 10, usage=Usage(100, 0, 20)))
    await ledger.settle(settlement("1", 15, usage=Usage(201, 0, 21)))
    await ledger.settle(settlement("2", 90, usage=Usage(9000, estimated=True)))
    await ledger.settle(settlement("3", 90, usage=Usage(9000), outcome="content_refused"))
    await ledger.settle(settlement("4", None, usage=Usage(9000)))
    await ledger.settle(settlement("5", 90, usage=None))
    assert reports.mean_usage(task, "openai", "gpt-4.1-mini") == MeanUsage(2, 150.5, 20.5, 12.5)
    assert reports.mean_usage(TaskType.SUMMARY, "openai", "gpt-4.1-mini") is None


async def test_errors_are_counted_by_provider_and_type(ledger: Ledger, reports: LedgerReports) -> None:
    ends = ["ok", "timeout", "timeout", "rate_limit"]
    for index, outcome in enumerate(ends):
        await ledger.reserve(reservation(1, str(index)))
        await ledger.settle(settlement(str(index), 1, outcome=outcome))
    assert reports.errors() == [ErrorCount("openai", "rate_limit", 1), ErrorCount("openai", "timeout", 2)]


async def test_latency_is_counted_in_buckets_that_add_up(ledger: Ledger, reports: LedgerReports) -> None:
    seconds = [0.0, 0.1, 0.101, 0.5, 1.0, 4.0, 30.0, 30.001, 400.0]
    for index, latency in enumerate(seconds):
        await ledger.reserve(reservation(1, str(index)))
        await ledger.settle(Settlement(str(index), "ok", USAGE, NanoUsd(1), latency))
    [latency_of] = reports.latency()
    assert (latency_of.provider, latency_of.model) == ("openai", "gpt-4.1-mini")
    assert latency_of.buckets == (
        *(("0.1", 2), ("0.5", 4), ("1", 5), ("2", 5), ("5", 6), ("10", 6), ("30", 7), ("+Inf", 9)),
    )
    assert latency_of.calls == 9
    assert latency_of.sum_ms == 465_702


def test_a_group_that_there_is_not_is_an_error(reports: LedgerReports) -> None:
    with pytest.raises(ValueError, match="prompt"):
        reports.usage(["provider", "prompt"])


async def test_reports_see_one_moment_while_calls_are_settled(ledger: Ledger, engine: sa.Engine) -> None:
    async def calls() -> None:
        for _ in range(40):
            wanted = reservation(5, provider="local")
            await ledger.reserve(wanted)
            await ledger.settle(settlement(wanted.call_id, 5))

    working = [asyncio.create_task(calls()) for _ in range(8)]
    seen: Counter[bool] = Counter()
    while not all(task.done() for task in working):
        totals = await asyncio.to_thread(LedgerReports(engine).totals, JANUARY)
        seen[totals.rows == totals.accounts == totals.rollups] += 1
    await asyncio.gather(*working)
    assert seen[False] == 0 and seen[True] > 3
