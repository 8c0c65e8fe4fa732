"""What the ledger holds is what Prometheus gets, from the first scrape on and over the turn of a month."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.accounts import AccountKey, AccountKind
from aegis_dagster.domain.forecast import month_end
from aegis_dagster.domain.money import Month, NanoUsd, nano_usd
from aegis_dagster.llm.retry_policy import ErrorType
from aegis_dagster.settings import Settings
from aegis_dagster.stores.database import open_database
from aegis_dagster.stores.ledger.ledger import Ledger
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.ledger_calls import USAGE as ONE_CALL
from aegis_dagster_tests.support.ledger_calls import estimated, reservation, settlement
from aegis_dagster_tests.support.monitored_homes import make_exporter, make_settings
from aegis_dagster_tests.support.scraping import Scrape, scrape, served

PAID = {"provider": "openai", "model": "gpt-4.1-mini"}


@pytest.fixture
def clock() -> SetClock:
    clock = SetClock()
    clock.time = datetime(2026, 1, 29, 12, tzinfo=UTC)
    return clock


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = make_settings(tmp_path / "home")
    open_database(settings.database_url).dispose()
    return settings


@pytest_asyncio.fixture
async def ledger(settings: Settings, clock: SetClock) -> AsyncIterator[Ledger]:
    ledger = Project(settings, clock).choices.ledger
    yield ledger
    await ledger.aclose()


def scraped(settings: Settings, clock: SetClock) -> Scrape:
    exporter = make_exporter(settings, clock)
    exporter.refresh()
    with served(exporter) as url:
        return scrape(url)


async def call(ledger: Ledger, usd: str | None, *, outcome: str = "ok", reserved: str = "2") -> None:
    wanted = reservation(nano_usd(reserved))
    assert await ledger.reserve(wanted) is None
    cost = None if usd is None else nano_usd(usd)
    await ledger.settle(settlement(wanted.call_id, cost, outcome=outcome))


def test_everything_configured_is_0_before_the_first_call(settings: Settings, clock: SetClock) -> None:
    found = scraped(settings, clock)
    assert found.up()["ledger"] == 1
    for task_type in ("entity_extraction", "summary"):
        assert found.value("llm_requests_total", **PAID, task_type=task_type) == 0
    assert found.value("llm_requests_total", provider="local", model="qwen3:8b", task_type="summary") == 0
    assert found.value("llm_cost_usd_total", **PAID) == 0
    for token_type in ("input", "output"):
        assert found.value("llm_tokens_used_total", **PAID, token_type=token_type) == 0
    bounds = [dict(labels)["le"] for labels in found.values("llm_latency_seconds_bucket")]
    assert set(bounds) == {"0.1", "0.5", "1.0", "2.0", "5.0", "10.0", "30.0", "+Inf"}
    errors = {dict(labels)["error_type"] for labels in found.values("llm_errors_total")}
    assert errors == {*ErrorType, "lost"}
    for name in ("estimated_total", "unknown_total"):
        assert found.value(f"llm_usage_{name}", **PAID) == 0
    assert found.value("llm_cost_above_reservation_total", **PAID) == 0
    assert found.value("monthly_budget_limit_usd", provider="openai") == 20
    assert found.value("monthly_budget_remaining_usd", provider="openai") == 20
    assert found.value("monthly_spend_usd", provider="local") == 0
    assert found.value("monthly_budget_limit_usd", provider="local") is None  # free: there is no limit
    assert found.value("monthly_spend_usd", provider="dashscope") is None  # nobody can ask it


async def test_calls_are_counted_once_and_their_parts_add_up(
    ledger: Ledger, settings: Settings, clock: SetClock
) -> None:
    await call(ledger, "0.1")
    await call(ledger, "0.2")
    await call(ledger, "3", reserved="2.5")  # more than was reserved
    await call(ledger, None, outcome="timeout", reserved="1.5")  # costs its reservation
    silent = reservation(nano_usd("1"))
    assert await ledger.reserve(silent) is None
    await ledger.settle(settlement(silent.call_id, nano_usd("0.7"), usage=estimated(ONE_CALL)))
    assert await ledger.reserve(reservation(nano_usd("4"))) is None  # still under way

    found = scraped(settings, clock)
    assert found.value("llm_requests_total", **PAID, task_type="entity_extraction") == 5
    assert found.value("llm_cost_usd_total", **PAID) == 5.5  # 0.1 + 0.2 is not 0.30000000000000004 here
    calls_with_usage = found.value("llm_tokens_used_total", **PAID, token_type="input")
    assert calls_with_usage == 5 * ONE_CALL.input_tokens
    assert found.value("llm_cached_tokens_total", **PAID) == 5 * ONE_CALL.cached_tokens
    assert found.value("llm_reasoning_tokens_total", **PAID) == 5 * ONE_CALL.reasoning_tokens
    assert found.value("llm_cache_write_tokens_total", **PAID) == 5 * ONE_CALL.cache_write_tokens
    assert found.value("llm_errors_total", provider="openai", error_type="timeout") == 1
    assert found.value("llm_usage_unknown_total", **PAID) == 1
    assert found.value("llm_usage_estimated_total", **PAID) == 1
    assert found.value("llm_cost_above_reservation_total", **PAID) == 1
    assert found.value("llm_latency_seconds_bucket", **PAID, le="0.5") == 0
    assert found.value("llm_latency_seconds_bucket", **PAID, le="1.0") == 5
    assert found.value("llm_latency_seconds_count", **PAID) == 5
    assert found.value("llm_latency_seconds_sum", **PAID) == pytest.approx(3.5)
    assert found.value("monthly_spend_usd", provider="openai") == 5.5
    assert found.value("monthly_reserved_usd", provider="openai") == 4
    assert found.value("monthly_budget_remaining_usd", provider="openai") == 10.5
    # The 29th of 31 days: two are left, each a seventh of what the last week cost.
    assert found.value("monthly_forecast_usd", provider="openai") == pytest.approx(5.5 + 2 * 5.5 / 7)


async def test_a_new_month_begins_at_0_with_the_limit_of_the_settings(
    ledger: Ledger, settings: Settings, clock: SetClock
) -> None:
    await call(ledger, "7", reserved="7")
    ledger.set_limit(AccountKey(AccountKind.PROVIDER, "openai", Month("2026-01")), nano_usd("5"))
    january = scraped(settings, clock)
    assert january.value("monthly_spend_usd", provider="openai") == 7
    assert january.value("monthly_budget_limit_usd", provider="openai") == 5
    assert january.value("monthly_budget_remaining_usd", provider="openai") == -2

    clock.time = datetime(2026, 2, 1, 0, 0, 1, tzinfo=UTC)
    february = scraped(settings, clock)
    assert february.value("monthly_spend_usd", provider="openai") == 0
    assert february.value("monthly_budget_limit_usd", provider="openai") == 20
    assert february.value("monthly_budget_remaining_usd", provider="openai") == 20
    # January 29 is one of the last seven days, and 27 are left.
    assert february.value("monthly_forecast_usd", provider="openai") == pytest.approx(27 * 1.0)
    assert february.value("llm_cost_usd_total", **PAID) == 7  # counters know no months


def test_the_forecast_is_a_mean_of_seven_days_times_the_days_left() -> None:
    by_day = {date(2026, 2, day): 70 for day in range(1, 11)}
    assert month_end(700, by_day, date(2026, 2, 10)) == 700 + 70 * 18
    assert month_end(700, {date(2026, 2, 3): 7}, date(2026, 2, 10)) == 700  # eight days ago
    assert month_end(700, {date(2026, 2, 4): 7}, date(2026, 2, 10)) == 700 + 18
    assert month_end(5, {date(2026, 2, 28): 5}, date(2026, 2, 28)) == NanoUsd(5)  # nothing is left of it
    assert month_end(0, {date(2025, 12, 31): 14}, date(2026, 1, 1)) == 14 * 30 // 7
