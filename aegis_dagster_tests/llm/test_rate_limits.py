"""A failing provider rests and recovers; no more calls at once and in a minute than allowed."""

import asyncio
from datetime import timedelta

import pytest

from aegis_dagster.llm.circuit_breaker import Breaker
from aegis_dagster.llm.providers import Provider
from aegis_dagster.llm.rate_limits import ProviderLimits, Sleep, SlidingMinute
from aegis_dagster.llm.retry_policy import Rest
from aegis_dagster_tests.support.clock import SetClock


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


def breaker_of(clock: SetClock) -> Breaker:
    return Breaker(clock, after_failures=3, rest_seconds=60, longest_rest_seconds=200)


def rests(breaker: Breaker) -> bool:
    return breaker.resting


def fail(breaker: Breaker, times: int, rest: Rest = Rest.COUNT) -> None:
    for _ in range(times):
        ticket = breaker.admit()
        assert ticket is not None
        breaker.failed(ticket, rest)


def test_a_provider_rests_after_so_many_failures_in_a_row_and_not_before(clock: SetClock) -> None:
    breaker = breaker_of(clock)
    fail(breaker, 2)
    assert not rests(breaker)
    fail(breaker, 1)
    assert rests(breaker)
    assert breaker.admit() is None


def test_an_answer_between_failures_starts_the_count_anew(clock: SetClock) -> None:
    breaker = breaker_of(clock)
    fail(breaker, 2)
    ticket = breaker.admit()
    assert ticket is not None
    breaker.answered(ticket)
    fail(breaker, 2)
    assert not rests(breaker)


def test_a_refusal_of_the_request_is_an_answer(clock: SetClock) -> None:
    breaker = breaker_of(clock)
    fail(breaker, 2)
    fail(breaker, 1, Rest.NO)
    fail(breaker, 2)
    assert not rests(breaker)


def test_what_has_to_be_mended_lets_it_rest_at_once(clock: SetClock) -> None:
    breaker = breaker_of(clock)
    fail(breaker, 1, Rest.AT_ONCE)
    assert rests(breaker)


def test_after_the_rest_one_call_probes_and_its_answer_opens_the_door_for_all(clock: SetClock) -> None:
    breaker = breaker_of(clock)
    fail(breaker, 3)
    clock.move(59.9)
    assert breaker.admit() is None
    clock.move(0.1)
    probe = breaker.admit()
    assert probe is not None
    assert breaker.admit() is None
    breaker.answered(probe)
    assert breaker.admit() is not None
    assert breaker.admit() is not None


def test_every_failed_probe_doubles_the_rest_up_to_the_longest(clock: SetClock) -> None:
    breaker = breaker_of(clock)
    fail(breaker, 3)
    for seconds in (60, 120, 200, 200):
        clock.move(seconds - 0.1)
        assert rests(breaker)
        clock.move(0.1)
        fail(breaker, 1)


def test_a_recovered_provider_rests_briefly_again(clock: SetClock) -> None:
    breaker = breaker_of(clock)
    fail(breaker, 3)
    clock.move(60)
    fail(breaker, 1)
    clock.move(120)
    probe = breaker.admit()
    assert probe is not None
    breaker.answered(probe)
    fail(breaker, 3)
    clock.move(60)
    assert not rests(breaker)


def test_a_probe_that_was_given_up_makes_room_for_another(clock: SetClock) -> None:
    breaker = breaker_of(clock)
    fail(breaker, 3)
    clock.move(60)
    probe = breaker.admit()
    assert probe is not None
    breaker.abandoned(probe)
    assert breaker.admit() is not None


def test_calls_that_were_on_their_way_when_the_rest_began_change_nothing(clock: SetClock) -> None:
    breaker = breaker_of(clock)
    tickets = [breaker.admit() for _ in range(10)]
    for ticket in tickets[:8]:
        assert ticket is not None
        breaker.failed(ticket, Rest.COUNT)
    assert tickets[9] is not None
    breaker.answered(tickets[9])
    assert rests(breaker)
    clock.move(60)
    assert not rests(breaker), "thirty failures at once are one rest"
    probe = breaker.admit()
    assert probe is not None
    assert tickets[8] is not None
    breaker.failed(tickets[8], Rest.COUNT)
    breaker.answered(probe)
    assert not rests(breaker)


def test_a_rest_that_the_provider_asked_for_is_never_shortened(clock: SetClock) -> None:
    breaker = breaker_of(clock)
    breaker.rest(3600)
    breaker.rest(10)
    clock.move(3599)
    assert rests(breaker)
    clock.move(1)
    assert not rests(breaker)


def test_no_minute_sees_more_requests_than_allowed(clock: SetClock) -> None:
    minute = SlidingMinute(clock, requests=3, tokens=None)
    for _ in range(3):
        assert minute.seconds_until_room(1) == 0
        minute.enter(1)
        clock.move(10)
    assert minute.seconds_until_room(1) == 30
    clock.move(30)
    assert minute.seconds_until_room(1) == 0
    minute.enter(1)
    assert minute.seconds_until_room(1) == 10


def test_no_minute_sees_more_tokens_than_allowed(clock: SetClock) -> None:
    minute = SlidingMinute(clock, requests=None, tokens=100)
    minute.enter(60)
    clock.move(20)
    minute.enter(30)
    assert minute.seconds_until_room(10) == 0
    assert minute.seconds_until_room(11) == 40
    assert minute.seconds_until_room(71) == 60


def test_a_call_larger_than_a_minute_waits_for_an_empty_one_and_not_for_ever(clock: SetClock) -> None:
    minute = SlidingMinute(clock, requests=None, tokens=100)
    assert minute.seconds_until_room(5000) == 0
    minute.enter(1)
    assert minute.seconds_until_room(5000) == 60


def test_an_estimate_makes_room_when_the_call_used_less(clock: SetClock) -> None:
    minute = SlidingMinute(clock, requests=None, tokens=100)
    passage = minute.enter(100)
    assert minute.seconds_until_room(50) == 60
    minute.correct(passage, 50)
    assert minute.seconds_until_room(50) == 0
    assert minute.seconds_until_room(51) == 60


def test_a_correction_of_a_call_from_an_earlier_minute_changes_nothing(clock: SetClock) -> None:
    minute = SlidingMinute(clock, requests=None, tokens=100)
    old = minute.enter(100)
    clock.move(61)
    assert minute.seconds_until_room(1) == 0
    minute.enter(90)
    minute.correct(old, 0)
    assert minute.seconds_until_room(11) == 60


def test_a_call_that_was_not_made_leaves_its_room(clock: SetClock) -> None:
    minute = SlidingMinute(clock, requests=1, tokens=10)
    minute.leave(minute.enter(10))
    assert minute.seconds_until_room(10) == 0


def test_a_clock_that_is_set_back_makes_nobody_wait(clock: SetClock) -> None:
    minute, breaker = SlidingMinute(clock, requests=1, tokens=None), breaker_of(clock)
    minute.enter(1)
    fail(breaker, 3)
    clock.time -= timedelta(hours=1)
    clock.move(60)
    assert minute.seconds_until_room(1) == 0
    assert not rests(breaker)


class Sleeper:
    """Sleeps by moving the clock."""

    def __init__(self, clock: SetClock) -> None:
        self.clock = clock
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.move(seconds)
        await asyncio.sleep(0)


def limits_of(
    clock: SetClock, sleep: Sleep, *, concurrency: int = 8, requests_per_minute: int | None = None
) -> ProviderLimits:
    provider = Provider(
        "cloud", "http://127.0.0.1/v1", "", concurrency=concurrency, requests_per_minute=requests_per_minute
    )
    return ProviderLimits(provider, clock, breaker_of(clock), sleep)


async def test_no_more_calls_run_at_once_than_allowed(clock: SetClock) -> None:
    limits = limits_of(clock, Sleeper(clock), concurrency=3)
    running, most, prepared = 0, 0, 0
    most_prepared: list[int] = []

    async def call() -> None:
        nonlocal running, most, prepared
        async with limits.turn(1) as turn:
            prepared += 1
            most_prepared.append(prepared)
            await turn.send()
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.005)
            running -= 1
            prepared -= 1

    await asyncio.gather(*(call() for _ in range(10)))
    assert most == 3
    assert max(most_prepared) == 4  # one is reserved ahead of its slot


async def test_those_who_wait_go_in_at_the_pace_of_the_minute(clock: SetClock) -> None:
    sleep = Sleeper(clock)
    limits = limits_of(clock, sleep, concurrency=10, requests_per_minute=2)
    began = clock.now()
    times: list[float] = []

    async def call() -> None:
        async with limits.turn(1):
            times.append((clock.now() - began).total_seconds())

    await asyncio.gather(*(call() for _ in range(6)))
    assert times == [0, 0, 60, 60, 120, 120]
    assert sleep.slept == [60, 60]


async def test_a_pause_that_one_call_was_told_holds_for_all_of_them(clock: SetClock) -> None:
    sleep = Sleeper(clock)
    limits = limits_of(clock, sleep)
    limits.pause(7)
    limits.pause(2)
    async with limits.turn(1):
        pass
    async with limits.turn(1):
        pass
    assert sleep.slept == [7]


async def test_a_caller_that_gives_up_while_waiting_takes_no_place(clock: SetClock) -> None:
    limits = limits_of(clock, Sleeper(clock), concurrency=1)

    async def wait() -> None:
        async with limits.turn(1) as turn:
            await turn.send()

    async with limits.turn(1) as turn:
        await turn.send()
        waiting = [asyncio.create_task(wait()) for _ in range(3)]  # one for the slot, two for their turn
        await asyncio.sleep(0)
        for one in waiting:
            one.cancel()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended)
    after = await asyncio.wait_for(asyncio.gather(wait(), wait()), timeout=5)
    assert len(after) == 2


def test_one_event_loop_after_another_may_use_the_same_limits(clock: SetClock) -> None:
    limits = limits_of(clock, Sleeper(clock), concurrency=1, requests_per_minute=1000)

    sent: list[str] = []

    async def some(loop: str) -> None:
        async def call() -> None:
            async with limits.turn(1) as turn:
                await turn.send()
                sent.append(loop)
                await asyncio.sleep(0.001)

        await asyncio.gather(*(call() for _ in range(3)))

    asyncio.run(some("first"))
    asyncio.run(some("second"))
    assert sent == ["first"] * 3 + ["second"] * 3
