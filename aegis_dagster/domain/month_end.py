"""What a month will have cost when it ends, if it goes on as in the last days. Pure arithmetic in integers.

Belongs here: the formula. Does not belong here: reading what was spent (`stores/ledger_reports.py`); what documents
that wait will cost (`forecast.py`).
"""

import calendar
from collections.abc import Mapping
from datetime import date, timedelta

from aegis_dagster.domain.money import NanoUsd

MEAN_OF_DAYS = 7


def days_of_mean(today: date) -> tuple[date, ...]:
    """The days whose mean is expected to go on: today and the six before it, also of the month before."""
    return tuple(today - timedelta(days=number) for number in range(MEAN_OF_DAYS))


def month_end(spent: int, by_day: Mapping[date, int], today: date) -> NanoUsd:
    """Expected spend at the end of today's month, in nano-USD.

    spent + (cost of the last 7 days, today included) / 7 x days left after today, the second term rounded down. A day
    without calls counts as 0, so the first days of a ledger are taken for a quiet week.
    """
    last_days = sum(by_day.get(day, 0) for day in days_of_mean(today))
    days_left = calendar.monthrange(today.year, today.month)[1] - today.day
    return NanoUsd(spent + last_days * days_left // MEAN_OF_DAYS)
