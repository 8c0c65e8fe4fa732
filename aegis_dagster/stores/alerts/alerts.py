"""The state of checks and runs, and the channels notified of a change.

It does not depend on the position up to which Dagster's events were read: reading an event again changes nothing.
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
from aegis_dagster.stores.alerts.schema import alert_channels, alert_messages, alerts
from aegis_dagster.stores.database import exclusive, read, upsert

# The only channel that identifies an alert also by severity: a new severity ends one alert and starts another.
ALERTMANAGER = "alertmanager"
TOLD_ONE_BY_ONE = timedelta(days=1)  # of older changes only the final state is sent
_GONE_AFTER = timedelta(days=1)  # for a channel that is no longer configured
_US = timedelta(microseconds=1)


class Alerts:
    """The alerts of one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def register(self, channels: Sequence[str]) -> list[str]:
        """Set the channels to notify from now on. A new one is sent what fires now. Raises ServiceError.

        If a new channel appears and one of the same kind disappears, its address has changed: the new one gets the
        undelivered messages of the old one. A channel missing for a day is deleted with its undelivered messages;
        the names of these are returned.
        """
        now = now_us(self._clock)
        with exclusive(self._engine) as connection:
            missed = {row.name: row.missed_us for row in connection.execute(sa.select(alert_channels))}
            new = [name for name in channels if name not in missed]
            gone = [name for name in missed if name not in channels]
            for name in new:
                connection.execute(sa.insert(alert_channels).values(name=name, since_us=now))
                before = _same_kind(name, new, gone)
                if before is not None:
                    _move(connection, before, name)
                    gone.remove(before)
            firing = _firing(connection) if new else []
            for name in new:
                waiting = _waiting(connection, name)
                _enqueue(connection, [page for page in firing if page.key.text not in waiting], [name], now)
            _set_missed(connection, [name for name in gone if missed[name] is None], now)
            _set_missed(connection, [name for name in channels if missed.get(name) is not None], None)
            forgotten = [name for name in gone if now - (missed[name] or now) > _GONE_AFTER // _US]
            _forget(connection, forgotten)
        return forgotten

    def forget(self, channel: str) -> bool:
        """Delete a channel and its undelivered messages. Returns whether it existed. Raises ServiceError.

        A channel that is still configured is registered as new next time.
        """
        with exclusive(self._engine) as connection:
            known = connection.execute(sa.select(alert_channels.c.name).where(alert_channels.c.name == channel)).first()
            _forget(connection, [channel])
        return known is not None

    def apply(self, events: Iterable[AlertEvent]) -> int:
        """Apply events. Returns how many changes of state are sent. Raises ServiceError.

        Events from before the first channel was registered, and those older than a day, only update the state;
        `settle` sends their final result.
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
        """Send the changes not sent yet, once all events are read. Returns how many. Raises ServiceError."""
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
        """The pages of firing alerts, by key. Raises ServiceError."""
        with read(self._engine) as connection:
            return _firing(connection)

    def firing_by_severity(self) -> Mapping[str, int]:
        """How many alerts fire for each severity, zeros included. Raises ServiceError."""
        with read(self._engine) as connection:
            query = sa.select(alerts.c.paged, sa.func.count()).where(alerts.c.paged.is_not(None))
            found = {row[0]: int(row[1]) for row in connection.execute(query.group_by(alerts.c.paged))}
        return {str(severity): found.get(str(severity), 0) for severity in Severity}

    def waiting_by_channel(self) -> Mapping[str, int]:
        """How many messages are undelivered for each channel, zeros included. Raises ServiceError."""
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


def _same_kind(name: str, new: Sequence[str], gone: Sequence[str]) -> str | None:
    """The channel that `name` replaces, if exactly one of its kind disappeared and exactly one is new.

    The kind is the part of a name before the last dash; Alertmanager's name has none, so nothing replaces it.
    """
    kind = name.rpartition("-")[0]
    old = [one for one in gone if one.rpartition("-")[0] == kind]
    others = [one for one in new if one.rpartition("-")[0] == kind]
    return old[0] if kind and len(old) == len(others) == 1 else None


def _move(connection: Connection, old: str, new: str) -> None:
    """Give the old channel's undelivered messages to the new one, due at once."""
    waits = sa.and_(alert_messages.c.channel == old, alert_messages.c.delivered_us.is_(None))
    connection.execute(sa.update(alert_messages).where(waits).values(channel=new, not_before_us=0, attempts=0))
    _forget(connection, [old])


def _waiting(connection: Connection, channel: str) -> set[str]:
    """The keys of the alerts with undelivered messages for the channel."""
    waits = sa.and_(alert_messages.c.channel == channel, alert_messages.c.delivered_us.is_(None))
    return set(connection.execute(sa.select(alert_messages.c.key).where(waits)).scalars())


def _set_missed(connection: Connection, channels: Sequence[str], at_us: int | None) -> None:
    if channels:
        named = alert_channels.c.name.in_(channels)
        connection.execute(sa.update(alert_channels).where(named).values(missed_us=at_us))


def _forget(connection: Connection, channels: Sequence[str]) -> None:
    if channels:
        connection.execute(sa.delete(alert_messages).where(alert_messages.c.channel.in_(channels)))
        connection.execute(sa.delete(alert_channels).where(alert_channels.c.name.in_(channels)))
