"""Notifies people: turns events into messages and delivers them.

A channel that is down, slow or refuses a message delays no other: each has its thread and its own place in the outbox.
A tick ends in time whatever the channels do; a thread's later results count when it is done.
"""

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from aegis_dagster.domain.alerts import AlertEvent, AlertKey, AlertKind, Page, Severity, Told
from aegis_dagster.errors import AegisError, NotDelivered, Unconfirmed
from aegis_dagster.ports import Clock, PageChannel
from aegis_dagster.stores.alerts.alerts import Alerts, now_us
from aegis_dagster.stores.alerts.outbox import AlertsOutbox

logger = logging.getLogger(__name__)

MOST_PER_LOOK = 50  # messages of one channel
MOST_UNCONFIRMED = 3  # attempts of a message without an answer in time: each may deliver another copy
_LONGEST_WAIT_SECONDS = 900.0  # between two attempts of a message


@dataclass(slots=True)
class Delivery:
    """The deliveries of one tick."""

    delivered: dict[str, int] = field(default_factory=dict)  # messages by channel
    errors: dict[str, str] = field(default_factory=dict)  # by channel; those of this tick only


class Pager:
    """Notifies the channels of one database."""

    def __init__(
        self,
        alerts: Alerts,
        outbox: AlertsOutbox,
        channels: Sequence[PageChannel],
        *,
        retry_seconds: float,
        clock: Clock,
    ) -> None:
        """retry_seconds: before a refused message is tried again; doubles after each attempt."""
        self._alerts = alerts
        self._outbox = outbox
        self._channels = channels
        self._retry_seconds = retry_seconds
        self._clock = clock

    def begin(self) -> None:
        """Register the channels. Raises ServiceError."""
        for name in self._alerts.register([channel.name for channel in self._channels]):
            logger.warning("%s is no longer configured; its undelivered messages are dropped.", name)
        self._outbox.prune([channel.name for channel in self._channels])

    def see(self, events: Iterable[AlertEvent]) -> int:
        """Process events. Returns how many changes people are notified of. Raises ServiceError."""
        return self._alerts.apply(events)

    def caught_up(self) -> int:
        """All events were read: notify people of the outcome of the old ones. Raises ServiceError."""
        return self._alerts.settle()

    def deliver(self, seconds: float) -> Delivery:
        """Send due messages through every channel, within this many seconds. Raises ServiceError of the database."""
        done, broken = Delivery(), list[Exception]()
        end = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._serve, args=(channel, end, done, broken), daemon=True, name=channel.name)
            for channel in self._channels
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(end - time.monotonic(), 0))
            if thread.is_alive():
                done.errors[thread.name] = "It takes too long; it is tried again at the next look."
        if broken:
            raise broken[0]
        return done

    def _serve(self, channel: PageChannel, end: float, done: Delivery, broken: list[Exception]) -> None:
        try:
            self._send_due(channel, end, done)
            if channel.name not in done.errors and time.monotonic() < end:
                self._keep(channel)
        except NotDelivered as error:
            done.errors[channel.name] = error.message
        except Exception as error:  # of the database, or a defect: the tick's own thread raises it
            broken.append(error)

    def _keep(self, channel: PageChannel) -> None:
        """Send the firing alerts again. Alerts that ended meanwhile are ended again: the repeat may have come last."""
        waiting = {message.page.key for message in self._outbox.undelivered() if message.channel == channel.name}
        said = [page for page in self._alerts.firing() if page.key not in waiting]
        channel.keep(said)
        fire = {(page.key, page.severity) for page in self._alerts.firing()} if said else set()
        for page in said:
            if (page.key, page.severity) not in fire:
                channel.send(replace(page, firing=False))

    def _send_due(self, channel: PageChannel, end: float, done: Delivery) -> None:
        for _ in range(MOST_PER_LOOK):
            if time.monotonic() > end:
                return
            message = self._outbox.take(channel.name, stands_seconds=channel.stands_seconds)
            if message is None:
                return
            try:
                channel.send(message.page)
            except NotDelivered as error:
                if isinstance(error, Unconfirmed) and message.attempts + 1 >= MOST_UNCONFIRMED:
                    logger.warning("%s took a page %d times without an answer.", channel.name, MOST_UNCONFIRMED)
                    self._outbox.delivered(message)
                    continue
                wait = min(self._retry_seconds * 2 ** min(message.attempts, 16), _LONGEST_WAIT_SECONDS)
                self._outbox.failed(message, error.message, retry_seconds=wait)
                done.errors[channel.name] = error.message
                return  # a channel that is down is tried once per tick
            self._outbox.delivered(message)
            done.delivered[channel.name] = done.delivered.get(channel.name, 0) + 1


def send_test(channels: Sequence[PageChannel], clock: Clock) -> dict[str, AegisError | None]:
    """Send a test page of each severity through each channel now: they may have other receivers.

    Returns the errors by the name of the channel.
    """
    now = now_us(clock)
    told = Told("This is a test by `aegis alerts test`. It reports no failure.")
    outcome: dict[str, AegisError | None] = {}
    for channel in channels:
        try:
            for severity in Severity:
                channel.send(Page(AlertKey(AlertKind.TEST, "test"), severity, True, now, now, told))
            outcome[channel.name] = None
        except NotDelivered as error:
            outcome[channel.name] = error
    return outcome
