"""How things stand with checks and runs, and who is told of a change.

Belongs here: taking events into account, together with the messages that they cause, in one transaction.
Does not belong here: what an event means (`domain/alerts.py`), handing out messages (`alerts_outbox.py`).

Nothing here depends on where Dagster's events were last read: an event that is read again changes nothing.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from aegis_dagster.domain.alerts import Alert, AlertEvent, AlertKey, Page, Severity, Told, firing_page, pages_due, seen
from aegis_dagster.ports import Clock
from aegis_dagster.stores.alerts_schema import alert_channels, alert_messages, alerts
from aegis_dagster.stores.database import exclusive, read, upsert

# The one channel that knows an alert by its severity, too: a change of it is the end of one and the start of another.
ALERTMANAGER = "alertmanager"
TOLD_ONE_BY_ONE = timedelta(days=1)  # what is older is told as what it came to
_GONE_AFTER = timedelta(days=1)  # a channel that is not configured any more
_TOUCHED_EVERY = timedelta(hours=1)
_US = timedelta(microseconds=1)


class Alerts:
    """The alerts of one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def register(self, channels: Sequence[str]) -> list[str]:
        """Who is to be told from now on. One that is new is told what fires now. Raises ServiceError.

        One that was not named for a day is forgotten with what it was not told; these are returned.
        """
        now = now_us(self._clock)
        with exclusive(self._engine) as connection:
            rows = connection.execute(sa.select(alert_channels)).all()
            known = {row.name: row.configured_us for row in rows}
            touched = [name for name in channels if now - known.get(name, 0) > _TOUCHED_EVERY // _US]
            for name in touched:
                statement = upsert(connection, alert_channels).values(name=name, since_us=now, configured_us=now)
                renewed = statement.on_conflict_do_update(index_elements=["name"], set_={"configured_us": now})
                connection.execute(renewed)
            new = [name for name in channels if name not in known]
            firing = _firing(connection) if new else []
            _enqueue(connection, firing, new, now)
            gone = [n for n, at in known.items() if n not in channels and now - at > _GONE_AFTER // _US]
            _forget(connection, gone)
        return gone

    def apply(self, events: Iterable[AlertEvent]) -> int:
        """Take events into account; how many changes of state people are told. Raises ServiceError.

        Events of before anybody was told anything, and those older than a day, only count: `settle` tells what they
        came to.
        """
        ordered = sorted(events, key=lambda event: event.at_us)
        if not ordered:
            return 0
        now, pages = now_us(self._clock), []
        with exclusive(self._engine) as connection:
            channels = connection.execute(sa.select(alert_channels)).all()
            since = min((row.since_us for row in channels), default=now)
            told_from = max(since, now - TOLD_ONE_BY_ONE // _US)
            before = _load(connection, {event.key.text for event in ordered})
            after = dict(before)
            for event in ordered:
                alert = seen(after.get(event.key.text), event)
                if event.at_us >= told_from and alert is not after.get(event.key.text):
                    alert, due = pages_due(alert)
                    pages.extend(due)
                after[event.key.text] = alert
            _save(connection, [alert for key, alert in after.items() if alert is not before.get(key)])
            _enqueue(connection, pages, [row.name for row in channels], now)
        return len(pages)

    def settle(self) -> int:
        """Tell what is not told yet, when all events were read; how many changes. Raises ServiceError."""
        with exclusive(self._engine) as connection:
            differ = sa.func.coalesce(alerts.c.severity, "") != sa.func.coalesce(alerts.c.paged, "")
            rows = connection.execute(sa.select(alerts).where(differ)).all()
            if not rows:
                return 0
            names = connection.execute(sa.select(alert_channels.c.name)).scalars().all()
            due = [pages_due(_alert(row)) for row in rows]
            _save(connection, [alert for alert, _ in due])
            pages = [page for _, found in due for page in found]
            _enqueue(connection, pages, names, now_us(self._clock))
        return len(pages)

    def firing(self) -> list[Page]:
        """The pages of what fires, by key. Raises ServiceError."""
        with read(self._engine) as connection:
            return _firing(connection)

    def firing_by_severity(self) -> Mapping[str, int]:
        """How many alerts fire, with a 0 for a severity without any. Raises ServiceError."""
        with read(self._engine) as connection:
            query = sa.select(alerts.c.paged, sa.func.count()).where(alerts.c.paged.is_not(None))
            found = {row[0]: int(row[1]) for row in connection.execute(query.group_by(alerts.c.paged))}
        return {str(severity): found.get(str(severity), 0) for severity in Severity}

    def waiting_by_channel(self) -> Mapping[str, int]:
        """How many messages are not delivered, with a 0 for a channel that has all. Raises ServiceError."""
        with read(self._engine) as connection:
            names = connection.execute(sa.select(alert_channels.c.name)).scalars()
            counted: Counter[str] = Counter(dict.fromkeys(names, 0))
            query = sa.select(alert_messages.c.channel, sa.func.count()).where(alert_messages.c.delivered_us.is_(None))
            for name, count in connection.execute(query.group_by(alert_messages.c.channel)):
                counted[name] = count
        return dict(sorted(counted.items()))


def now_us(clock: Clock) -> int:
    """The time in microseconds since 1970-01-01 UTC."""
    return round(clock.now().timestamp() * 1_000_000)


def _load(connection: Connection, keys: Iterable[str]) -> dict[str, Alert]:
    rows = connection.execute(sa.select(alerts).where(alerts.c.key.in_(sorted(keys))))
    return {row.key: _alert(row) for row in rows}


def _firing(connection: Connection) -> list[Page]:
    query = sa.select(alerts).where(alerts.c.paged.is_not(None), alerts.c.severity == alerts.c.paged)
    found = [_alert(row) for row in connection.execute(query.order_by(alerts.c.key))]
    return [firing_page(alert, alert.severity) for alert in found if alert.severity is not None]


def _alert(row: Row[Any]) -> Alert:
    told = json.loads(row.told)
    return Alert(
        key=AlertKey.parse(row.key),
        severity=Severity(row.severity) if row.severity else None,
        since_us=row.since_us,
        at_us=row.at_us,
        told=Told(told["description"], tuple((name, value) for name, value in told["figures"]), told["run_id"]),
        paged=Severity(row.paged) if row.paged else None,
    )


def _save(connection: Connection, changed: Sequence[Alert]) -> None:
    if not changed:
        return
    statement = upsert(connection, alerts)
    columns = ("severity", "since_us", "at_us", "told", "paged")
    statement = statement.on_conflict_do_update(
        index_elements=["key"], set_={name: statement.excluded[name] for name in columns}
    )
    rows = [
        {
            "key": alert.key.text,
            "severity": alert.severity,
            "since_us": alert.since_us,
            "at_us": alert.at_us,
            "told": json.dumps(asdict(alert.told), ensure_ascii=False),
            "paged": alert.paged,
        }
        for alert in changed
    ]
    connection.execute(statement, rows)


def _enqueue(connection: Connection, pages: Sequence[Page], channels: Sequence[str], now: int) -> None:
    rows = [
        {"channel": name, "key": page.key.text, "firing": page.firing, "page": page.to_json(), "created_us": now}
        for page in pages
        for name in channels
        if name == ALERTMANAGER or not page.replaced
    ]
    if rows:
        connection.execute(sa.insert(alert_messages), rows)


def _forget(connection: Connection, channels: Sequence[str]) -> None:
    if channels:
        connection.execute(sa.delete(alert_messages).where(alert_messages.c.channel.in_(channels)))
        connection.execute(sa.delete(alert_channels).where(alert_channels.c.name.in_(channels)))
