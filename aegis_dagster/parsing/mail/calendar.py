"""Turns the calendar part of a mail (iCalendar, RFC 5545) into lines for people: what, where, when, who."""

import re
from typing import Final

# Property -> what people call it. Dates and people are treated apart.
_LABELS: Final[dict[str, str]] = {
    "SUMMARY": "Summary",
    "LOCATION": "Place",
    "DTSTART": "Start",
    "DTEND": "End",
    "DUE": "Due",
    "DURATION": "Duration",
    "RRULE": "Repeats",
    "ORGANIZER": "Organiser",
    "ATTENDEE": "Attendee",
    "CONTACT": "Contact",
    "STATUS": "Status",
    "CATEGORIES": "Categories",
    "RESOURCES": "Resources",
    "URL": "Link",
    "COMMENT": "Comment",
    "DESCRIPTION": "Description",
}
_ENTRIES: Final = ("VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY")
_FOLD = re.compile(r"\r?\n[ \t]")
_PROPERTY = re.compile(r'([A-Za-z-]+)((?:;[A-Za-z-]+=(?:"[^"]*"|[^":;]*))*):(.*)', re.DOTALL)
_PARAMETER = re.compile(r';([A-Za-z-]+)=(?:"([^"]*)"|([^":;]*))')
_ESCAPE = re.compile(r"\\([\\;,nN])")
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?")


def calendar_entries(text: str) -> list[str]:
    """Each event, task or note of a calendar, as lines; nothing if the text is no calendar."""
    entries: list[str] = []
    inside: list[str] = []  # the components that are open
    lines: list[str] = []
    for line in _FOLD.sub("", text).splitlines():
        match = _PROPERTY.fullmatch(line.strip())
        if match is None:
            continue
        name, value = match[1].upper(), match[3].strip()
        if name == "BEGIN":
            inside.append(value.upper())
            lines = [] if inside[-1] in _ENTRIES else lines
        elif name == "END" and inside:
            if inside.pop() in _ENTRIES and lines:
                entries.append("\n".join(lines))
        elif inside and inside[-1] in _ENTRIES and name in _LABELS and value:
            parameters = {each[1].upper(): each[2] or each[3] or "" for each in _PARAMETER.finditer(match[2])}
            lines.append(f"{_LABELS[name]}: {_shown(name, value, parameters)}")
    return entries


def _shown(name: str, value: str, parameters: dict[str, str]) -> str:
    if name in ("DTSTART", "DTEND", "DUE"):
        return _time(value, parameters.get("TZID", ""))
    plain = _ESCAPE.sub(lambda match: "\n" if match[1] in "nN" else match[1], value)
    if name in ("ORGANIZER", "ATTENDEE"):
        address = re.sub(r"(?i)^mailto:", "", plain)
        person = parameters.get("CN", "")
        return f"{person} <{address}>" if person and person != address else address
    return plain


def _time(value: str, zone: str) -> str:
    """As 2026-03-03 10:00 (Europe/Berlin); as it is if it is no time."""
    match = _TIME.fullmatch(value)
    if match is None:
        return f"{value} ({zone})" if zone else value
    day = f"{match[1]}-{match[2]}-{match[3]}"
    if match[4] is None:
        return day
    zone = "UTC" if match[7] else zone
    return f"{day} {match[4]}:{match[5]}" + (f" ({zone})" if zone else "")
