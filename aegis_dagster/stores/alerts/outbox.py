"""The outbox of messages to people.

Messages of one alert are handed out in order, one at a time; alerts do not wait for each other. A process claims a
message for the time `CLAIMED`. If it dies, the message is handed out again: nothing is lost, but a message whose
delivery was not recorded is sent twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine, Row

from aegis_dagster.domain.alerts import Page
from aegis_dagster.ports import Clock
from aegis_dagster.stores.alerts.alerts import now_us
from aegis_dagster.stores.alerts.schema import alert_messages
from aegis_dagster.stores.database import exclusive, read, write

CLAIMED = timedelta(minutes=2)  # longer than any attempt takes
_KEPT = timedelta(days=30)  # after delivery
_US = timedelta(microseconds=1)
_M = alert_messages.c


@dataclass(frozen=True, slots=True)
class Message:
    """One page for one channel."""

    id: int
    channel: str
    page: Page
    created: datetime  # UTC
    attempts: int
    error: str  # of the last attempt; "" if there was none


class AlertsOutbox:
    """The messages of one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def take(self, channel: str, *, stands_seconds: float = 0) -> Message | None:
        """Claim the next message for a channel; None: nothing is due. Raises ServiceError.

        stands_seconds: the least time between two messages of one alert.
        """
        now = now_us(self._clock)
        first = sa.select(sa.func.min(_M.id)).where(_M.channel == channel, _M.delivered_us.is_(None)).group_by(_M.key)
        query = sa.select(alert_messages).where(_M.id.in_(first), _M.not_before_us <= now)
        if stands_seconds:
            before = alert_messages.alias("before")
            lately = sa.select(before.c.id).where(
                before.c.channel == channel,
                before.c.key == _M.key,
                before.c.delivered_us > now - round(stands_seconds * 1_000_000),
            )
            query = query.where(~lately.exists())
        with exclusive(self._engine) as connection:
            row = connection.execute(query.order_by(_M.id).limit(1)).first()
            if row is None:
                return None
            claim = {"not_before_us": now + CLAIMED // _US, "attempts": _M.attempts + 1}
            connection.execute(sa.update(alert_messages).where(_M.id == row.id).values(claim))
        return _message(row)

    def delivered(self, message: Message) -> None:
        """Record the delivery. Raises ServiceError."""
        self._set(message, delivered_us=now_us(self._clock), error=None)

    def failed(self, message: Message, error: str, *, retry_seconds: float) -> None:
        """Record why the delivery failed, and when to try again. Raises ServiceError."""
        self._set(message, error=error, not_before_us=now_us(self._clock) + round(retry_seconds * 1_000_000))

    def undelivered(self) -> list[Message]:
        """The undelivered messages, oldest first. Raises ServiceError."""
        with read(self._engine) as connection:
            query = sa.select(alert_messages).where(_M.delivered_us.is_(None)).order_by(_M.id)
            return [_message(row) for row in connection.execute(query)]

    def prune(self, channels: Sequence[str]) -> None:
        """Delete messages that these channels received more than 30 days ago. Raises ServiceError."""
        before = now_us(self._clock) - _KEPT // _US
        old = sa.and_(_M.channel.in_(channels), _M.delivered_us < before)
        with read(self._engine) as connection:
            if connection.execute(sa.select(_M.id).where(old).limit(1)).first() is None:
                return
        with write(self._engine) as connection:
            connection.execute(sa.delete(alert_messages).where(old))

    def _set(self, message: Message, **values: Any) -> None:
        with write(self._engine) as connection:
            connection.execute(sa.update(alert_messages).where(_M.id == message.id).values(values))


def _message(row: Row[Any]) -> Message:
    created = datetime.fromtimestamp(row.created_us / 1_000_000, UTC)
    return Message(row.id, row.channel, Page.from_json(row.page), created, row.attempts, row.error or "")
