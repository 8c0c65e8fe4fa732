"""Money is whole nano-USD, and months are UTC calendar months."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from aegis_dagster.domain.money import as_usd, month_of, nano_usd, shown_usd, start_of_next_month


@pytest.mark.parametrize(
    ("usd", "nano"),
    [("1", 1_000_000_000), ("0.05", 50_000_000), ("0.000000001", 1), ("0.0000000019", 1), (10, 10_000_000_000)],
)
def test_usd_becomes_whole_nano_usd_rounded_down(usd: str | int, nano: int) -> None:
    assert nano_usd(usd) == nano


def test_nano_usd_becomes_usd_without_loss() -> None:
    assert str(as_usd(10_000_000_001)) == "10.000000001"


@pytest.mark.parametrize(
    ("nano", "shown"),
    [
        (0, "0.00"),
        (12_500_000_000, "12.50"),
        (1_234_567_000_000, "1,234.57"),
        (42_000, "0.000042"),
        (1, "0.000000001"),
        (50_000_000, "0.05"),
    ],
)
def test_sums_are_shown_with_cents_and_small_amounts_with_all_their_digits(nano: int, shown: str) -> None:
    assert shown_usd(nano) == shown


def test_a_month_is_that_of_utc_whatever_the_time_zone() -> None:
    new_year_in_tokyo = datetime(2027, 1, 1, 8, tzinfo=timezone(timedelta(hours=9)))
    assert month_of(new_year_in_tokyo) == "2026-12"


def test_the_next_month_begins_at_midnight_utc() -> None:
    assert start_of_next_month(datetime(2026, 11, 30, 23, 59, tzinfo=UTC)) == datetime(2026, 12, 1, tzinfo=UTC)
    assert start_of_next_month(datetime(2026, 12, 1, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)
