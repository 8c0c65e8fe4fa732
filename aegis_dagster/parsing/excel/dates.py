"""Dates and times of day as a spreadsheet shows them: serial numbers, in days since the end of 1899 or since 1904."""

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

Token = tuple[str, str]
_DAYS_TO_1904: Final = 1462
_LAST_DAY: Final = 2_958_465  # 9999-12-31
_LEAP_DAY: Final = 60  # 1900-02-29, which never was and which spreadsheets count
_UNITS: Final = {"h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True, slots=True)
class _Moment:
    year: int
    month: int
    day: int
    weekday: int  # 0: Monday
    seconds: Decimal  # of the day, rounded to what is shown
    elapsed: Decimal  # seconds since day 0


def date_text(tokens: Sequence[Token], value: Decimal, *, date1904: bool) -> str | None:
    """A serial number in a format's tokens (see `excel_numbers`); None if it is no date."""
    elapsed = any(kind == "elapsed" for kind, _ in tokens)
    negative = value < 0 and elapsed  # a span of time may be negative, a date may not
    moment = _moment(abs(value) if negative else value, _subdigits(tokens), date1904)
    if moment is None:
        return None
    half_days = any(kind == "half" for kind, _ in tokens)
    out = ["-"] if negative else []
    skip = 0
    for index, (kind, text) in enumerate(tokens):
        if skip:
            skip -= 1
        elif kind == "date":
            out.append(_unit(text.lower(), _is_minutes(tokens, index), half_days, moment))
        elif kind == "elapsed":
            out.append(_elapsed(text, tokens, moment))
        elif kind == "half":
            names = ("A", "P") if len(text) == 3 else ("AM", "PM")
            out.append(names[moment.seconds >= 43200])
        elif kind == "." and (skip := _run(tokens, index)):
            out.append(f".{moment.seconds % 1:.{skip}f}".replace(".0.", "."))
        else:
            out.append(text)
    return "".join(out)


def _moment(value: Decimal, subdigits: int, date1904: bool) -> _Moment | None:
    total = (value * 86400).quantize(Decimal(1).scaleb(-subdigits), rounding=ROUND_HALF_UP)
    days, seconds = int(total // 86400), total % 86400
    if not 0 <= days <= _LAST_DAY or value < 0:
        return None
    number = days + (_DAYS_TO_1904 if date1904 else 0)
    if number == _LEAP_DAY:
        return _Moment(1900, 2, 29, 2, seconds, total)
    if number == 0:
        return _Moment(1900, 1, 0, 5, seconds, total)
    day = date(1899, 12, 31 if number < _LEAP_DAY else 30) + timedelta(days=min(number, _LAST_DAY))
    return _Moment(day.year, day.month, day.day, day.weekday(), seconds, total)


def _subdigits(tokens: Sequence[Token]) -> int:
    return max((_run(tokens, index) for index, (kind, _) in enumerate(tokens) if kind == "."), default=0)


def _run(tokens: Sequence[Token], index: int) -> int:
    """How many zeros follow a point: the digits of a second."""
    end = index + 1
    while end < len(tokens) and tokens[end] == ("digit", "0"):
        end += 1
    return min(end - index - 1, 6)


def _is_minutes(tokens: Sequence[Token], index: int) -> bool:
    """Whether an m stands for minutes: after hours or before seconds."""
    before = [text for kind, text in tokens[:index] if kind in ("date", "elapsed")]
    after = [text for kind, text in tokens[index + 1 :] if kind in ("date", "elapsed")]
    return (bool(before) and before[-1].lower()[0] == "h") or (bool(after) and after[0].lower()[0] == "s")


def _unit(text: str, minutes: bool, half_days: bool, moment: _Moment) -> str:
    seconds, length = int(moment.seconds), len(text)
    match text[0]:
        case "y" | "e":
            return f"{moment.year % 100:02d}" if text in ("y", "yy") else f"{moment.year:04d}"
        case "b":
            return str(moment.year + 543)
        case "m" if minutes:
            return f"{seconds // 60 % 60:0{min(length, 2)}d}"
        case "m" if length > 2:
            name = calendar.month_name[moment.month]
            return {3: name[:3], 5: name[:1]}.get(length, name)
        case "m":
            return f"{moment.month:0{length}d}"
        case "d" | "a" if length > 2:
            name = calendar.day_name[moment.weekday]
            return name[:3] if length == 3 else name
        case "d":
            return f"{moment.day:0{length}d}"
        case "h":
            hours = seconds // 3600
            return f"{(hours % 12 or 12) if half_days else hours:0{min(length, 2)}d}"
        case "s":
            return f"{seconds % 60:0{min(length, 2)}d}"
    return ""  # the name of an era


def _elapsed(text: str, tokens: Sequence[Token], moment: _Moment) -> str:
    return f"{int(moment.elapsed) // _UNITS[text[0]]:0{len(text)}d}"
