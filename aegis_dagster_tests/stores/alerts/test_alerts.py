"""What the pager keeps, on SQLite and on Postgres: nobody is told twice and nothing is lost, whoever else looks."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from aegis_dagster.domain.alerts import AlertEvent, AlertKey, AlertKind, Severity, told_of
from aegis_dagster.stores.alerts.alerts import ALERTMANAGER, Alerts, now_us
from aegis_dagster.stores.alerts.outbox import CLAIMED, AlertsOutbox, Message
from aegis_dagster.stores.database import open_database
from aegis_dagster_tests.support.clock import SetClock

PHONE = "phone"
LOOKING = 4  # processes that look at once
ODD = 'Zeile\n"ünï" ☃ \x00 \ud83d <b> %s {0} \\'


@pytest.fixture
def engines(empty_url: str) -> Iterator[list[sa.Engine]]:
    """Of several processes that use one database."""
    made = [open_database(empty_url) for _ in range(LOOKING)]
    yield made
    for engine in made:
        engine.dispose()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


def key(name: str, partition: str = "") -> AlertKey:
    return AlertKey(AlertKind.CHECK, name, partition, "c")


def event(clock: SetClock, name: str, severity: Severity | None, *, after_us: int = 0, text: str = "") -> AlertEvent:
    told = told_of(text, {"documents": 12345, "usd": 0.25}, run_id="run-1")
    return AlertEvent(key(name), now_us(clock) + after_us, severity, told)


def everything(outbox: AlertsOutbox, channel: str) -> list[Message]:
    """Deliver all there is to a channel."""
    told = []
    while (message := outbox.take(channel)) is not None:
        outbox.delivered(message)
        told.append(message)
    return told


def histories(clock: SetClock, seed: int) -> list[AlertEvent]:
    """Five alerts that come and go, in the order of their times."""
    chance = random.Random(seed)
    states = [None, None, Severity.WARNING, Severity.CRITICAL]
    times = range(0, 2000, 10)
    return [event(clock, f"asset{chance.randrange(5)}", chance.choice(states), after_us=time) for time in times]


def at_once(engines: list[sa.Engine], work: Callable[[sa.Engine], object]) -> None:
    with ThreadPoolExecutor(len(engines)) as threads:
        assert len(list(threads.map(work, engines))) == len(engines)


def test_several_who_read_the_same_events_in_pieces_tell_each_change_once(
    engines: list[sa.Engine], clock: SetClock
) -> None:
    first = Alerts(engines[0], clock)
    assert first.register([PHONE, ALERTMANAGER]) == []
    events = histories(clock, seed=1)

    def look(engine: sa.Engine) -> None:
        alerts = Alerts(engine, clock)
        for start in range(0, len(events), 25):
            alerts.apply(events[start : start + 25])
        assert alerts.apply(events) == 0  # read again from the beginning

    at_once(engines, look)
    states: dict[str, Severity | None] = {}
    changes: dict[str, list[bool]] = defaultdict(list)
    for one in events:
        if states.get(one.key.name) is not one.severity:
            changes[one.key.name].append(one.severity is not None)
        states[one.key.name] = one.severity
    told: dict[str, list[bool]] = defaultdict(list)
    for message in everything(AlertsOutbox(engines[1], clock), PHONE):
        told[message.page.key.name].append(message.page.firing)
    assert told == changes
    firing = {name for name, severity in states.items() if severity is not None}
    assert {page.key.name for page in first.firing()} == firing
    assert sum(first.firing_by_severity().values()) == len(firing)
    waiting = first.waiting_by_channel()
    assert waiting[PHONE] == 0 and waiting[ALERTMANAGER] > sum(map(len, changes.values())) / 2


def test_several_who_deliver_hand_out_each_message_once_and_those_of_an_alert_in_order(
    engines: list[sa.Engine], clock: SetClock
) -> None:
    alerts = Alerts(engines[0], clock)
    alerts.register([PHONE])
    alerts.apply(histories(clock, seed=2))
    due = alerts.waiting_by_channel()[PHONE]
    handed_out: list[Message] = []

    def deliver(engine: sa.Engine) -> None:
        outbox = AlertsOutbox(engine, clock)
        while outbox.undelivered():
            if (message := outbox.take(PHONE)) is not None:
                handed_out.append(message)
                outbox.delivered(message)

    at_once(engines, deliver)
    assert len({message.id for message in handed_out}) == len(handed_out) == due > 100
    for name in {message.page.key for message in handed_out}:
        ids = [message.id for message in handed_out if message.page.key == name]
        assert ids == sorted(ids)


def test_what_a_killed_process_took_is_handed_out_again_and_what_failed_waits(
    engines: list[sa.Engine], clock: SetClock
) -> None:
    alerts, outbox = Alerts(engines[0], clock), AlertsOutbox(engines[0], clock)
    alerts.register([PHONE])
    alerts.apply([event(clock, "a", Severity.CRITICAL, text=ODD)])
    clock.move(1)
    alerts.apply([event(clock, "a", None)])
    taken = outbox.take(PHONE)
    assert taken is not None and taken.page.firing
    assert taken.page.told == told_of(ODD, {"documents": 12345, "usd": 0.25}, run_id="run-1")
    other = AlertsOutbox(engines[1], clock)
    assert other.take(PHONE) is None  # its all-clear does not go before it
    clock.move(CLAIMED.total_seconds() + 1)
    again = other.take(PHONE)
    assert again is not None and (again.id, again.attempts) == (taken.id, 1)
    other.failed(again, "HTTP 503", retry_seconds=30)
    assert outbox.take(PHONE) is None and [message.error for message in outbox.undelivered()] == ["HTTP 503", ""]
    clock.move(31)
    assert [message.page.firing for message in everything(outbox, PHONE)] == [True, False]
    assert alerts.firing() == [] and outbox.undelivered() == []


def test_a_channel_that_comes_later_is_told_what_fires_and_one_that_is_gone_is_forgotten(
    engines: list[sa.Engine], clock: SetClock
) -> None:
    alerts, outbox = Alerts(engines[0], clock), AlertsOutbox(engines[0], clock)
    alerts.register([PHONE])
    alerts.apply([event(clock, "a", Severity.WARNING), event(clock, "b", Severity.WARNING)])
    clock.move(10)
    alerts.apply([event(clock, "b", None)])
    alerts.register([PHONE, "late"])
    assert alerts.waiting_by_channel() == {"late": 1, PHONE: 3}
    assert [message.page.key.name for message in everything(outbox, "late")] == ["a"]
    assert alerts.register(["late"]) == []  # it may come back
    clock.move(2 * 24 * 3600)
    assert alerts.register(["late"]) == [PHONE]
    assert alerts.waiting_by_channel() == {"late": 0}
    clock.move(31 * 24 * 3600)
    outbox.prune(["late"])
    with engines[1].connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM alert_messages")).scalar() == 0
    alerts.apply([event(clock, "a", None)])
    assert [message.page.firing for message in everything(outbox, "late")] == [False]
