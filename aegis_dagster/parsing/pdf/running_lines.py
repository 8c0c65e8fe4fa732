"""Tells running headers, footers, page numbers and dates of printing from content at the edge of a page. Pure.

A line runs if it repeats on a page nearby, digits included: three invoices begin with three numbers, and each is
content. A page number and a date of printing change by their nature; they count only in their own forms, and only
where they run on from page to page.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aegis_dagster.domain.left_out import Reason

# Copies of a line stand within this many pages of each other: headers of left and right pages take turns.
_NEAR_PAGES = 2
# ... and at the same height, to this share of the page's height. A page number may follow the text.
_SAME_HEIGHT = 0.03
_NEIGHBOURS = 4  # how many of the copies that follow are compared
_LONGEST = 200  # characters; a longer line has no page number
# A bare number beside other text is a page number only if it is about that of the page: contracts have numbers too.
_FRONT_MATTER = 50


class Edge(StrEnum):
    """Where a line stands that may run."""

    TOP = "top"
    BOTTOM = "bottom"
    ACROSS = "across"  # a watermark


@dataclass(frozen=True, slots=True)
class EdgeLine:
    """A line at an edge of its page."""

    text: str
    page_no: int  # 1-based
    edge: Edge
    distance: float  # from that edge, as a share of the page's height


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a running line is."""

    reason: Reason  # PAGE_NUMBER, PRINT_DATE or RUNNING_LINE
    stays: bool  # whether it is the copy that is kept as text


@dataclass(frozen=True, slots=True)
class _Masked:
    """A line without its page number and its date of printing."""

    rest: str
    number: int | None = None
    day: tuple[int, ...] = ()  # year, month, day
    time: tuple[int, ...] = ()  # of the day
    series: str = ""  # "A-" of "A-3"

    @property
    def reason(self) -> Reason:
        if any(character.isalnum() for character in _PRINTED.sub("", self.rest)):
            return Reason.RUNNING_LINE
        return Reason.PRINT_DATE if self.day else Reason.PAGE_NUMBER

    def runs_on_to(self, other: "_Masked", pages: int) -> bool:
        """Whether the other, so many pages later, continues this one."""
        if self.number is not None and (other.number is None or other.number - self.number != pages):
            return False
        if not self.day:
            return True
        if _PRINTED.search(self.rest):
            return (self.day, self.time) <= (other.day, other.time)
        return self.day == other.day and self.time <= other.time


def running_lines(lines: Sequence[EdgeLine]) -> dict[int, Verdict]:
    """The verdict for each line that runs, by its index; the others are content."""
    found: dict[int, Verdict] = {}
    borders = [index for index, line in enumerate(lines) if line.edge is not Edge.ACROSS]
    masked = {index: part for index in borders if (part := _mask(lines[index])) is not None}
    forms = {index: (lines[index].edge, part.rest + part.series) for index, part in masked.items()}
    for group in _groups(forms, lines):
        near = _near(
            group,
            lines,
            lambda one, other: masked[one].runs_on_to(masked[other], lines[other].page_no - lines[one].page_no),
        )
        for index in near:
            reason = masked[index].reason
            found[index] = Verdict(reason, reason is not Reason.PAGE_NUMBER and index == near[0])
    rest = {index: (line.edge, _folded(line.text)) for index, line in enumerate(lines) if index not in found}
    for group in _groups(rest, lines):
        near = _near(group, lines, lambda one, other: abs(lines[one].distance - lines[other].distance) <= _SAME_HEIGHT)
        found |= {index: Verdict(Reason.RUNNING_LINE, index == near[0]) for index in near}
    return found


def _groups(keys: dict[int, tuple[Edge, str]], lines: Sequence[EdgeLine]) -> Iterable[list[int]]:
    """The indices with equal keys, each group in the order of the pages."""
    groups: dict[tuple[Edge, str], list[int]] = {}
    for index, key in keys.items():
        groups.setdefault(key, []).append(index)
    return [sorted(group, key=lambda index: lines[index].page_no) for group in groups.values() if len(group) > 1]


def _near(group: Sequence[int], lines: Sequence[EdgeLine], alike: Callable[[int, int], bool]) -> list[int]:
    """Those of a group that have one alike on a page nearby."""
    near: set[int] = set()
    for position, one in enumerate(group):
        for other in group[position + 1 : position + 1 + _NEIGHBOURS]:
            pages = lines[other].page_no - lines[one].page_no
            if 0 < pages <= _NEAR_PAGES and alike(one, other):
                near |= {one, other}
    return [index for index in group if index in near]


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


# What stands in a masked line for its page number and for its date: no text holds these characters.
_N, _D = "\ue0fe", "\ue0ff"
_NUMBER = (
    r"(?P<series>[a-z]{1,2}\s?[-–.]\s?|\d{1,2}[-–.])?"
    r"(?P<n>\d{1,4}|(?=[ivxlc])c{0,3}(?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3}))"
)
_PAGE = (
    r"(?:page|pages|seite|pagina|página|pág\.|pag\.|sivu|sida|side|strona|oldal|folio|blatt|slide|folie|pg\.?|p\.|s\.)"
    r"\s*(?:no\.?|nr\.?|:|#)?"
)
_OF = r"(?:\s*(?:/|of|von|de|di|sur|van|af|av|z|\|)\s*\d{1,4})"
_PAGE_NUMBERS = (
    re.compile(rf"(?P<before>)[-–—·•\[(|\s]*{_NUMBER}{_OF}?(?P<after>)[-–—·•\])|\s]*"),  # "- 3 -", "A-3", "3 / 10"
    re.compile(rf"(?P<before>(?:.*[\s|(\[·•–—-])?){_PAGE}\s*{_NUMBER}{_OF}?(?P<after>(?:\W.*)?)"),
    re.compile(r"(?P<before>.*)第\s*(?P<n>\d{1,4})\s*[页頁](?:[\s,/]*共\s*\d{1,4}\s*[页頁])?(?P<after>.*)"),
    re.compile(r"(?P<before>.*\s)(?P<n>\d{1,4})\s*(?:/|of|von|sur)\s*\d{1,4}(?P<after>)"),
    re.compile(r"(?P<before>)(?P<n>\d{1,4})(?P<after>\s+[^\W\d].*)"),  # "17 Rules"; in "Rules 17" it may be a name
)
_BESIDE = (  # "Rules | 17" and "17 | Rules"
    re.compile(r"(?P<before>.*\s[|·•–—])\s*(?P<n>\d{1,4})(?P<after>)"),
    re.compile(r"(?P<before>)(?P<n>\d{1,4})\s*(?P<after>[|·•–—]\s.*)"),
)
_DATES = (
    re.compile(r"(?<!\d)(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})(?!\d)"),
    re.compile(r"(?<!\d)(?P<d>\d{1,2})[-/.](?P<m>\d{1,2})[-/.](?P<y>\d{4}|\d{2})(?!\d)"),
    re.compile(r"(?<!\d)(?P<d>\d{1,2})\.? [^\W\d_]{3,12}\.? (?P<y>\d{4})(?!\d)"),
    re.compile(r"\b[^\W\d_]{3,12}\.? (?P<d>\d{1,2}),? (?P<y>\d{4})(?!\d)"),
)
_TIME = re.compile(r"(?:,| at| um|t)?\s?(\d{1,2}):(\d{2})(?::(\d{2}))?(?: ?(?:am|pm|uhr))?")
_PRINTED = re.compile(
    r"\b(?:(?:date )?print(?:ed)?|(?:aus)?gedruckt|druckdatum|imprimé|impreso|stampato|generated|erzeugt)\b"
    r"(?: (?:on|am|le|el|il|at|date)\b)?"
)


def _mask(line: EdgeLine) -> _Masked | None:
    """None if the line has neither a page number nor a date."""
    text = _folded(line.text)
    if len(text) > _LONGEST or (not any(character.isdigit() for character in text) and len(text) > 20):
        return None
    text, day, time = _without_date(text)
    for pattern in (*_PAGE_NUMBERS, *_BESIDE):
        match = pattern.fullmatch(text)
        if match is None or not match["n"]:
            continue
        number = int(match["n"]) if match["n"].isdigit() else _roman(match["n"])
        if pattern in _BESIDE and abs(number - line.page_no) > _FRONT_MATTER:
            continue
        series = match.groupdict().get("series") or ""
        return _Masked(f"{match['before']}{_N}{match['after']}", number, day, time, series)
    return _Masked(text, None, day, time) if day else None


def _without_date(text: str) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """The text with its first date and the time beside it masked, the day, and the time."""
    for pattern in _DATES:
        if match := pattern.search(text):
            parts = match.groupdict()
            day = tuple(int(parts.get(name) or 0) for name in ("y", "m", "d"))
            clock = _TIME.match(text, match.end())
            time = tuple(int(part or 0) for part in clock.groups()) if clock else ()
            return text[: match.start()] + _D + text[clock.end() if clock else match.end() :], day, time
    return text, (), ()


def _roman(numeral: str) -> int:
    values = [{"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}[letter] for letter in numeral]
    return sum(-one if one < after else one for one, after in zip(values, [*values[1:], 0], strict=True))
