"""Metrics of the ledger: calls, tokens, cost, latency, errors, and the money of the month.

All values come from sums that are updated with each call, so that counters survive restarts and short runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date
from decimal import Decimal

from aegis_dagster.domain.accounts import Account, AccountKind, UsageRow
from aegis_dagster.domain.forecast import days_of_mean, month_end
from aegis_dagster.domain.money import Month, as_usd, month_of
from aegis_dagster.monitoring.metrics.samples import Samples
from aegis_dagster.ports import Clock
from aegis_dagster.stores.ledger.ledger import Ledger
from aegis_dagster.stores.ledger.reports import LedgerReports
from aegis_dagster.stores.ledger.schema import BEYOND, LATENCY_BOUNDS_MS


@dataclass(frozen=True, slots=True)
class ConfiguredModel:
    """A model that may be asked."""

    provider: str
    model: str
    task_types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Configured:
    """Series that are 0 before the first call, so that the first call is an increase."""

    models: tuple[ConfiguredModel, ...]
    error_types: tuple[str, ...]  # every outcome of a call

    @property
    def providers(self) -> tuple[str, ...]:
        """The providers of the models."""
        return tuple(dict.fromkeys(model.provider for model in self.models))


@dataclass(frozen=True, slots=True)
class LedgerMetrics:
    """Reads the current ledger."""

    reports: LedgerReports
    ledger: Ledger
    configured: Configured
    clock: Clock

    def read(self) -> Samples:
        """All samples. Raises ServiceError."""
        samples = Samples()
        self._preset(samples)
        _add_usage(samples, self.reports.usage(("provider", "model", "task_type")))
        for error in self.reports.errors():
            samples.add("llm_errors_total", error.provider, error.error_type, value=error.calls)
        for latency in self.reports.latency():
            labels = (latency.provider, latency.model)
            samples.histogram("llm_latency_seconds", *labels, buckets=latency.buckets, total=latency.sum_ms / 1000)
        self._add_month(samples)
        return samples

    def _preset(self, samples: Samples) -> None:
        for model in self.configured.models:
            labels = (model.provider, model.model)
            for task_type in model.task_types:
                samples.add("llm_requests_total", *labels, task_type)
            for token_type in ("input", "output"):
                samples.add("llm_tokens_used_total", *labels, token_type)
            for name in _BY_MODEL:
                samples.add(name, *labels)
            none = [(bound, 0) for bound in (*LATENCY_BOUNDS_MS, BEYOND)]
            samples.histogram("llm_latency_seconds", *labels, buckets=none, total=0)
        for provider in self.configured.providers:
            for error_type in self.configured.error_types:
                samples.add("llm_errors_total", provider, error_type)

    def _add_month(self, samples: Samples) -> None:
        now = self.clock.now().astimezone(UTC)
        by_day = self._cost_by_day(now.date())
        for account in self._accounts(month_of(now)):
            provider = account.key.name
            expected = month_end(account.spent, by_day.get(provider, {}), now.date())
            samples.add("monthly_spend_usd", provider, value=as_usd(account.spent))
            samples.add("monthly_reserved_usd", provider, value=as_usd(account.reserved))
            samples.add("monthly_forecast_usd", provider, value=as_usd(expected))
            if account.limit is not None and account.remaining is not None:
                samples.add("monthly_budget_limit_usd", provider, value=as_usd(account.limit))
                samples.add("monthly_budget_remaining_usd", provider, value=as_usd(account.remaining))

    def _accounts(self, month: Month) -> list[Account]:
        """Providers that may be asked, and others with cost or reservations this month."""
        providers = set(self.configured.providers)
        return [
            account
            for account in self.ledger.accounts(month)
            if account.key.kind is AccountKind.PROVIDER
            and (account.key.name in providers or account.spent or account.reserved)
        ]

    def _cost_by_day(self, today: date) -> dict[str, dict[date, int]]:
        """Nano-USD of the days on which the forecast is based, by provider."""
        costs: dict[str, dict[date, int]] = {}
        for month in dict.fromkeys(Month(f"{day:%Y-%m}") for day in days_of_mean(today)):
            for row in self.reports.usage(("day", "provider"), month=month):
                costs.setdefault(row.provider, {})[date.fromisoformat(row.day)] = row.cost
        return costs


_BY_MODEL = (
    "llm_cost_usd_total",
    "llm_cached_tokens_total",
    "llm_reasoning_tokens_total",
    "llm_cache_write_tokens_total",
    "llm_usage_estimated_total",
    "llm_usage_unknown_total",
    "llm_cost_above_reservation_total",
)


def _add_usage(samples: Samples, rows: Sequence[UsageRow]) -> None:
    for row in rows:
        labels = (row.provider, row.model)
        samples.add("llm_requests_total", *labels, row.task_type, value=row.calls)
        samples.add("llm_tokens_used_total", *labels, "input", value=row.input_tokens)
        samples.add("llm_tokens_used_total", *labels, "output", value=row.output_tokens)
        values: tuple[Decimal | int, ...] = (
            as_usd(row.cost),  # exact, as all sums are until they are shown
            row.cached_tokens,
            row.reasoning_tokens,
            row.cache_write_tokens,
            row.estimated_calls,
            row.unknown_calls,
            row.over_reservation_calls,
        )
        for name, value in zip(_BY_MODEL, values, strict=True):
            samples.add(name, *labels, value=value)
