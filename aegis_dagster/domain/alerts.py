"""Alerts: the states of asset checks and runs, and the pages for a change of state.

There is one alert per asset, partition and check, and one per job and partition of runs. Events are ordered by their
own time, not by the order of reading: an event that is not newer than the last one of its alert changes nothing. So
events may be read again, even from the beginning.
"""

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

MOST_FIGURES = 8
MOST_CHARACTERS = 1500  # of a description
_MOST_IN_A_LABEL = 200
_NOT_STORED = ("Cc", "Cs")  # Unicode's categories: control, surrogate


class Severity(StrEnum):
    """How bad it is."""

    WARNING = "warning"
    CRITICAL = "critical"


class AlertKind(StrEnum):
    """The kind of an alert; Alertmanager's `alertname`."""

    CHECK = "AssetCheckFailed"
    RUN = "DagsterRunFailed"
    TEST = "PagingTest"


@dataclass(frozen=True, slots=True)
class AlertKey:
    """Identifies an alert. Its fields are the labels of a page."""

    kind: AlertKind
    name: str  # asset key with slashes; job of a run
    partition: str = ""
    check: str = ""

    @property
    def text(self) -> str:
        """The key as one string, unambiguous."""
        return json.dumps([self.kind, self.name, self.partition, self.check], ensure_ascii=False)

    @classmethod
    def parse(cls, text: str) -> "AlertKey":
        """The key of `text`."""
        kind, name, partition, check = json.loads(text)
        return cls(AlertKind(kind), name, partition, check)

    def labels(self) -> dict[str, str]:
        """Labels without severity; empty ones are omitted, as in Alertmanager."""
        of_kind = {"asset": self.name, "check": self.check} if self.kind is AlertKind.CHECK else {"job": self.name}
        found = {"alertname": str(self.kind), **of_kind, "partition": self.partition}
        return {name: value for name, value in found.items() if value}

    @property
    def short(self) -> str:
        """Six hex digits that are easy to type."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:6]

    @property
    def title(self) -> str:
        """The alert's subject, for people."""
        partition = f", partition {self.partition}" if self.partition else ""
        if self.kind is AlertKind.CHECK:
            return f"Check {self.check} of {self.name}{partition}"
        return f"Job {self.name}{partition}" if self.kind is AlertKind.RUN else "A test of paging"


@dataclass(frozen=True, slots=True)
class Told:
    """The texts of an event."""

    description: str = ""
    figures: tuple[tuple[str, str], ...] = ()  # name, rendered number
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Links:
    """The links in a page."""

    dagster_url: str = ""
    runbook_url: str = ""


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """The state of an alert as observed at one moment."""

    key: AlertKey
    at_us: int  # microseconds since 1970-01-01 UTC
    severity: Severity | None  # None: all is well
    told: Told = Told()


@dataclass(frozen=True, slots=True)
class Alert:
    """The current state of an alert."""

    key: AlertKey
    severity: Severity | None  # None: all is well
    since_us: int  # of the event that caused this state
    at_us: int  # of the newest event
    told: Told
    paged: Severity | None = None  # last severity sent to people; None: the all-clear, or nothing yet


@dataclass(frozen=True, slots=True)
class Page:
    """One message for people."""

    key: AlertKey
    severity: Severity
    firing: bool  # False: the all-clear
    since_us: int  # when this began
    at_us: int  # of the newest event
    told: Told
    replaced: bool = False  # all-clear before another severity: only for channels that identify alerts by it

    @property
    def summary(self) -> str:
        """One line for people."""
        if self.key.kind is AlertKind.TEST:
            return f"A test of paging, {self.severity}: nothing is wrong"
        if self.key.kind is AlertKind.RUN:
            return f"{self.key.title}: {'a run failed' if self.firing else 'a run succeeded again'}"
        if self.replaced:
            return f"{self.key.title} is not {self.severity} any more"
        return f"{self.key.title} {'failed' if self.firing else 'passes again'}"

    def labels(self) -> dict[str, str]:
        """All labels, the severity among them."""
        return {**self.key.labels(), "severity": str(self.severity)}

    def annotations(self, links: Links) -> dict[str, str]:
        """The annotations of a page."""
        run = f"{links.dagster_url.rstrip('/')}/runs/{self.told.run_id}" if self.told.run_id else ""
        found = {
            "summary": self.summary,
            "description": self.told.description,
            "figures": "; ".join(f"{name} {value}" for name, value in self.told.figures),
            "run_url": run,
            "runbook_url": f"{links.runbook_url}#{self.key.kind.lower()}",
        }
        return {name: value for name, value in found.items() if value}

    def to_json(self) -> str:
        """The page as stored until it is delivered."""
        return json.dumps(asdict(self) | {"key": self.key.text}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Page":
        """The page that `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        told = values.pop("told")
        return cls(
            key=AlertKey.parse(values.pop("key")),
            severity=Severity(values.pop("severity")),
            told=Told(told["description"], tuple((name, value) for name, value in told["figures"]), told["run_id"]),
            **values,
        )


def seen(alert: Alert | None, event: AlertEvent) -> Alert:
    """The alert after an event. Returns the same object if the event is not newer than the last one."""
    if alert is None:
        return Alert(event.key, event.severity, event.at_us, event.at_us, event.told)
    if event.at_us <= alert.at_us:
        return alert
    since = alert.since_us if event.severity is alert.severity else event.at_us
    return replace(alert, severity=event.severity, since_us=since, at_us=event.at_us, told=event.told)


def pages_due(alert: Alert) -> tuple[Alert, list[Page]]:
    """The alert once its due pages are sent, and these pages, in the order in which to send them."""
    if alert.severity is alert.paged:
        return alert, []
    pages: list[Page] = []
    if alert.paged is not None:
        replaced = alert.severity is not None
        pages.append(Page(alert.key, alert.paged, False, alert.since_us, alert.at_us, alert.told, replaced))
    if alert.severity is not None:
        pages.append(firing_page(alert, alert.severity))
    return replace(alert, paged=alert.severity), pages


def firing_page(alert: Alert, severity: Severity) -> Page:
    """The page of an alert that fires."""
    return Page(alert.key, severity, True, alert.since_us, alert.at_us, alert.told)


def told_of(description: str | None, numbers: Mapping[str, int | float], run_id: str) -> Told:
    """The texts of an event, in a form that every database and receiver accepts."""
    figures = [(in_label(name), _number(value)) for name, value in list(numbers.items())[:MOST_FIGURES]]
    return Told(cleaned(description or "", MOST_CHARACTERS), tuple(figures), run_id)


def in_label(text: str) -> str:
    """A name as part of a label: one line of limited length, different for different texts."""
    line = " ".join(cleaned(text, len(text) + 1).split())
    if len(line) <= _MOST_IN_A_LABEL:
        return line
    return f"{line[:_MOST_IN_A_LABEL]}… {hashlib.sha256(line.encode()).hexdigest()[:8]}"


def job_label(job: str, assets: Iterable[str]) -> str:
    """The name of a job; jobs that Dagster makes for selected assets are distinguished by these assets."""
    named = sorted(assets)
    return in_label(f"{job}({', '.join(named)})" if named else job)


def cleaned(text: str, most: int) -> str:
    """Remove control characters and lone surrogates, which no store accepts; cut at `most` characters."""
    kept = "".join(c if c in "\n\t" or unicodedata.category(c) not in _NOT_STORED else "\ufffd" for c in text)
    return kept if len(kept) <= most else f"{kept[: most - 1]}…"


def _number(value: int | float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.10g}"
