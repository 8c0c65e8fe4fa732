"""The expected cost of calls still to be made. Pure integer arithmetic."""

import calendar
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from aegis_dagster.domain.llm import TaskType
from aegis_dagster.domain.money import NanoUsd
from aegis_dagster.domain.prices import Price, Usage, cost
from aegis_dagster.domain.stages import Stage


@dataclass(frozen=True, slots=True)
class Measured:
    """The summed usage of earlier calls of the same kind."""

    calls: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int

    def mean(self) -> Usage:
        """The mean usage per call, every number rounded up. Raises ZeroDivisionError without calls."""
        return Usage(
            input_tokens=-(-self.input_tokens // self.calls),
            cached_tokens=self.cached_tokens // self.calls,  # rounded down: cached tokens are cheaper
            output_tokens=-(-self.output_tokens // self.calls),
            reasoning_tokens=-(-self.reasoning_tokens // self.calls),
        )


@dataclass(frozen=True, slots=True)
class ForecastItem:
    """Calls of one kind still to be made."""

    stage: Stage | None
    task_type: TaskType
    provider: str
    model: str
    calls: int
    price: Price
    guess: Usage  # of one call, used if nothing was measured
    measured: Measured | None = None
    pictures: int = 0  # of one call


@dataclass(frozen=True, slots=True)
class ForecastRow:
    """Expected calls of one stage, task type and model."""

    stage: Stage | None
    task_type: TaskType
    provider: str
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost: NanoUsd
    measured: bool  # whether every number comes from earlier calls


@dataclass(frozen=True, slots=True)
class ForecastTotals:
    """All rows, in the order of their first items, and their sums."""

    rows: tuple[ForecastRow, ...]
    calls: int
    input_tokens: int
    output_tokens: int
    cost: NanoUsd

    def cost_by_provider(self) -> dict[str, NanoUsd]:
        """The expected cost by provider."""
        costs: dict[str, NanoUsd] = {}
        for row in self.rows:
            costs[row.provider] = NanoUsd(costs.get(row.provider, 0) + row.cost)
        return costs


def forecast(items: Iterable[ForecastItem]) -> ForecastTotals:
    """Expected calls, tokens and cost; items with the same stage, task type and model form one row."""
    rows: dict[tuple[Stage | None, TaskType, str, str], ForecastRow] = {}
    for item in items:
        if item.calls:
            key = (item.stage, item.task_type, item.provider, item.model)
            rows[key] = _sum(rows[key], _row(item)) if key in rows else _row(item)
    return ForecastTotals(
        rows=tuple(rows.values()),
        calls=sum(row.calls for row in rows.values()),
        input_tokens=sum(row.input_tokens for row in rows.values()),
        output_tokens=sum(row.output_tokens for row in rows.values()),
        cost=NanoUsd(sum(row.cost for row in rows.values())),
    )


def _row(item: ForecastItem) -> ForecastRow:
    measured = item.measured is not None and item.measured.calls > 0
    one = item.measured.mean() if item.measured is not None and measured else item.guess
    return ForecastRow(
        stage=item.stage,
        task_type=item.task_type,
        provider=item.provider,
        model=item.model,
        calls=item.calls,
        input_tokens=item.calls * one.input_tokens,
        output_tokens=item.calls * one.output_tokens,
        cost=NanoUsd(item.calls * cost(one, item.price, pictures=item.pictures)),
        measured=measured,
    )


def _sum(one: ForecastRow, other: ForecastRow) -> ForecastRow:
    return ForecastRow(
        stage=one.stage,
        task_type=one.task_type,
        provider=one.provider,
        model=one.model,
        calls=one.calls + other.calls,
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        cost=NanoUsd(one.cost + other.cost),
        measured=one.measured and other.measured,
    )


MEAN_OF_DAYS = 7


def days_of_mean(today: date) -> tuple[date, ...]:
    """The days whose mean is extrapolated: today and the six days before it, also in the previous month."""
    return tuple(today - timedelta(days=number) for number in range(MEAN_OF_DAYS))


def month_end(spent: int, by_day: Mapping[date, int], today: date) -> NanoUsd:
    """Expected spend at the end of today's month, in nano-USD.

    spent + (cost of the last 7 days, today included) / 7 x days left after today, the second term rounded down. A day
    without calls counts as 0, so the first days of a new ledger are underestimated.
    """
    last_days = sum(by_day.get(day, 0) for day in days_of_mean(today))
    days_left = calendar.monthrange(today.year, today.month)[1] - today.day
    return NanoUsd(spent + last_days * days_left // MEAN_OF_DAYS)
