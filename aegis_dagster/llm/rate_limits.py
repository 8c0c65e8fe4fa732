"""Health and limits of one provider: when it rests, how many calls at once, requests and tokens a minute.

All of it for this process alone: eight processes may make eight times as many calls. Money is not limited here,
and across processes (`stores/ledger`).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from aegis_dagster.llm.circuit_breaker import Breaker
from aegis_dagster.llm.providers import Provider
from aegis_dagster.ports import Clock

MINUTE = timedelta(seconds=60)
AHEAD_SHARE = 8  # for so many slots one call is reserved ahead of its slot
Sleep = Callable[[float], Awaitable[object]]


@dataclass(slots=True, eq=False)
class Passage:
    """One call in the sliding minute. `tokens` is an estimate until it is corrected."""

    time: datetime
    tokens: int


class SlidingMinute:
    """At most so many requests and tokens in any 60 seconds. A call too large for a whole minute waits for an empty
    one."""

    def __init__(self, clock: Clock, *, requests: int | None, tokens: int | None) -> None:
        self._clock = clock
        self._requests = requests
        self._tokens = tokens
        self._passages: deque[Passage] = deque()
        self._sum = 0

    @property
    def unlimited(self) -> bool:
        """Whether nobody ever waits here."""
        return self._requests is None and self._tokens is None

    def seconds_until_room(self, tokens: int) -> float:
        """How long a call of so many tokens has to wait now."""
        now = self._clock.now()
        while self._passages and self._passages[0].time <= now - MINUTE:
            self._sum -= self._passages.popleft().tokens
        count, total, wait = len(self._passages), self._sum, 0.0
        for passage in self._passages:
            if self._fits(count, total, tokens):
                break
            count, total = count - 1, total - passage.tokens
            wait = (passage.time + MINUTE - now).total_seconds()
        return wait

    def enter(self, tokens: int) -> Passage:
        """Count a call, whether or not there is room."""
        passage = Passage(self._clock.now(), tokens)
        self._passages.append(passage)
        self._sum += tokens
        return passage

    def correct(self, passage: Passage, tokens: int) -> None:
        """What a call really used."""
        if self._passages and passage.time >= self._passages[0].time:
            self._sum += tokens - passage.tokens
        passage.tokens = tokens

    def leave(self, passage: Passage) -> None:
        """The call was not made."""
        if passage in self._passages:
            self._passages.remove(passage)
            self._sum -= passage.tokens

    def _fits(self, count: int, total: int, tokens: int) -> bool:
        if self._requests is not None and count >= self._requests:
            return False
        return self._tokens is None or total + min(tokens, self._tokens) <= self._tokens


@dataclass(slots=True)
class Turn:
    """A call that is next, or among the next: it may be reserved now, and is sent when a slot is free.

    passage: its place in the minute; None: not counted.
    """

    slots: asyncio.Semaphore
    places: asyncio.Semaphore  # among the next
    passage: Passage | None = None
    waiting: bool = True
    sending: bool = False

    async def send(self) -> None:
        """Wait for a slot, unless one is held. From here on the provider is busy with the call."""
        if not self.sending:
            await self.slots.acquire()
            self.sending = True

    def done(self) -> None:
        """The provider has nothing to do with the call any more: the next one may be sent."""
        if self.sending:
            self.sending = False
            self.slots.release()
        if self.waiting:
            self.waiting = False
            self.places.release()


class ProviderLimits:
    """The queue of one provider: its turn, room in the minute, a slot. May be used by one event loop after another.

    A few more calls have their turn than there are slots, so that a free slot need not wait for the ledger.
    """

    def __init__(self, provider: Provider, clock: Clock, breaker: Breaker, sleep: Sleep) -> None:
        self.breaker = breaker
        self._concurrency = provider.concurrency
        self._clock = clock
        self._sleep = sleep
        self._minute = SlidingMinute(clock, requests=provider.requests_per_minute, tokens=provider.tokens_per_minute)
        self._not_before: datetime | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begin()

    @asynccontextmanager
    async def turn(self, tokens: int) -> AsyncIterator[Turn]:
        """Wait until a slot is free or soon will be, and for room for a call of so many tokens."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # slots and queue of another loop are void: whoever held them is gone with it
            self._loop = loop
            self._begin()
        places = self._places
        await places.acquire()
        turn = Turn(self._slots, places)
        try:
            turn.passage = await self._pass(tokens)
            yield turn
        finally:
            turn.done()

    def _begin(self) -> None:
        self._slots = asyncio.Semaphore(self._concurrency)
        self._places = asyncio.Semaphore(self._concurrency + max(1, self._concurrency // AHEAD_SHARE))
        self._head = asyncio.Lock()

    def pause(self, seconds: float) -> None:
        """Let no call begin for so long: the provider said so to one of them."""
        until = self._clock.now() + timedelta(seconds=seconds)
        self._not_before = max(until, self._not_before) if self._not_before else until

    def correct(self, turn: Turn, tokens: int) -> None:
        """What the call really used."""
        if turn.passage is not None:
            self._minute.correct(turn.passage, tokens)

    def leave(self, turn: Turn) -> None:
        """The call was not made."""
        if turn.passage is not None:
            self._minute.leave(turn.passage)

    async def _pass(self, tokens: int) -> Passage | None:
        nobody_waits = self._minute.unlimited and self._not_before is None
        if nobody_waits or self.breaker.resting:  # who is about to be turned away does not wait for it
            return None
        async with self._head:  # who is first in the queue waits for room, the others for the first
            wait = max(self._pause_left(), self._minute.seconds_until_room(tokens))
            if wait > 0:
                await self._sleep(wait)
            self._minute.seconds_until_room(tokens)  # forgets what is older than a minute by now
            return self._minute.enter(tokens)

    def _pause_left(self) -> float:
        if self._not_before is None:
            return 0.0
        left = (self._not_before - self._clock.now()).total_seconds()
        if left <= 0:
            self._not_before = None
        return max(left, 0.0)
