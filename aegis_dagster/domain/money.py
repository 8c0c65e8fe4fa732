"""Money and months."""

import re
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal
from typing import NewType

NanoUsd = NewType("NanoUsd", int)  # 1 USD = 1,000,000,000
Month = NewType("Month", str)  # "2026-11", UTC

NANO_PER_USD = 1_000_000_000


def nano_usd(usd: Decimal | int | str) -> NanoUsd:
    """USD as nano-USD, rounded down. Floats are not accepted: 0.1 has no exact float."""
    return NanoUsd(int((Decimal(usd) * NANO_PER_USD).to_integral_value(ROUND_FLOOR)))


def as_usd(nano: int) -> Decimal:
    """Nano-USD as USD, exact."""
    return Decimal(nano) / NANO_PER_USD


def shown_usd(nano: int) -> str:
    """For people: two decimals, or as many as needed for amounts below a cent: "12.50", "0.000042"."""
    usd = as_usd(nano)
    if nano == 0 or abs(usd) >= Decimal("0.01"):
        return f"{usd:,.4f}".rstrip("0").rstrip(".") if abs(usd) < 1 and nano else f"{usd:,.2f}"
    return f"{usd:f}".rstrip("0")


def month_of(time: datetime) -> Month:
    """The UTC calendar month of a timezone-aware time."""
    return Month(time.astimezone(UTC).strftime("%Y-%m"))


def is_month(written: str) -> bool:
    """Whether the text is a month like "2026-11"."""
    return re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", written) is not None


def start_of_next_month(time: datetime) -> datetime:
    """The start of the next UTC calendar month."""
    utc = time.astimezone(UTC)
    year, month = (utc.year + 1, 1) if utc.month == 12 else (utc.year, utc.month + 1)
    return datetime(year, month, 1, tzinfo=UTC)
