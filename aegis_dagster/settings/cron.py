"""Cron expressions, as far as a setting may hold one."""

import re

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_DAYS_OF_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_FIELDS: tuple[tuple[str, int, int, list[str]], ...] = (
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day of month", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 7, _DAYS),
)
_PART = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?")


def cron_problem(expression: str) -> str:
    """What is wrong with five fields of cron; "" when nothing is."""
    fields = expression.split()
    if len(fields) != len(_FIELDS):
        return f"it has {len(fields)} fields, a schedule has five: minute, hour, day of month, month, day of week"
    for field, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            if not _fits(part, low, high, names):
                return f"`{part}` is no {name} ({low}-{high})"
    months = [_number(part, _MONTHS) for part in fields[3].split(",")]
    days = [_number(part, []) for part in fields[2].split(",")]
    if all(month and day and day > _DAYS_OF_MONTH[month - 1] for month in months for day in days):
        return "there is no such day in that month"
    return ""


def _fits(part: str, low: int, high: int, names: list[str]) -> bool:
    found = _PART.fullmatch(part)
    if found is None:
        return False
    first, last, step = found.groups()
    if step is not None and not 0 < int(step) <= high:
        return False
    if first == "*":
        return last is None
    start = _number(first, names)
    end = start if last is None else _number(last, names)
    return start is not None and end is not None and low <= start <= end <= high and (step is None or last is not None)


def _number(word: str, names: list[str]) -> int | None:
    """A number or a name; None: neither. Months count from 1, days of the week from 0."""
    if word.isascii() and word.isdigit():
        return int(word)
    lower = word.lower()
    return names.index(lower) + (1 if names is _MONTHS else 0) if lower in names else None
