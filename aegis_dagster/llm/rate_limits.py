"""Health and limits of one provider: rest, concurrent calls, requests and tokens per minute.

They apply to this process alone: eight processes may make eight times as many calls. Money is limited across
processes, in `stores/ledger`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aegis_dagster.llm.circuit_breaker import Breaker
from aegis_dagster.llm.providers import Provider
from aegis_dagster.ports import Clock

MINUTE_SECONDS = 60.0
AHEAD_SHARE = 8  # for this many slots, one call is reserved ahead of its slot
Sleep = Callable[[float], Awaitable[object]]


@dataclass(slots=True, eq=False)
class Passage:
    """One call in the sliding minute. `tokens` is an estimate until `correct` replaces it."""

    time: float  # of the clock's `monotonic`, as all times here: a clock that is set back must not make a call wait
    tokens: int


class SlidingMinute:
    """Limits requests and tokens in any 60 seconds. A call larger than a minute's limit waits for an empty minute."""

    def __init__(self, clock: Clock, *, requests: int | None, tokens: int | None) -> None:
        self._clock = clock
        self._requests = requests
        self._tokens = tokens
        self._passages: deque[Passage] = deque()
        self._sum = 0

    @property
    def unlimited(self) -> bool:
        """Whether no call ever waits here."""
        return self._requests is None and self._tokens is None

    def seconds_until_room(self, tokens: int) -> float:
        """How long a call of this many tokens has to wait now."""
        now = self._clock.monotonic()
        while self._passages and self._passages[0].time <= now - MINUTE_SECONDS:
            self._sum -= self._passages.popleft().tokens
        count, total, wait = len(self._passages), self._sum, 0.0
        for passage in self._passages:
            if self._fits(count, total, tokens):
                break
            count, total = count - 1, total - passage.tokens
            wait = passage.time + MINUTE_SECONDS - now
        return wait

    def enter(self, tokens: int) -> Passage:
        """Count a call, whether or not there is room."""
        passage = Passage(self._clock.monotonic(), tokens)
        self._passages.append(passage)
        self._sum += tokens
        return passage

    def correct(self, passage: Passage, tokens: int) -> None:
        """Replace a call's estimate by the tokens it used."""
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
    """A call at the head of the queue: it may be reserved now, and is sent when a slot is free.

    passage: its entry in the sliding minute; None: not counted.
    """

    slots: asyncio.Semaphore
    places: asyncio.Semaphore  # at the head of the queue
    passage: Passage | None = None
    waiting: bool = True
    sending: bool = False

    async def send(self) -> None:
        """Wait for a slot, unless one is held. From then on the call occupies the provider."""
        if not self.sending:
            await self.slots.acquire()
            self.sending = True

    def done(self) -> None:
        """Release the slot: the provider is done with the call, and the next one may be sent."""
        if self.sending:
            self.sending = False
            self.slots.release()
        if self.waiting:
            self.waiting = False
            self.places.release()


class ProviderLimits:
    """The queue of one provider: a turn, room in the minute, a slot. Several event loops may use it, one after another.

    Slightly more calls get a turn than there are slots, so that a free slot does not wait for the ledger.
    """

    def __init__(self, provider: Provider, clock: Clock, breaker: Breaker, sleep: Sleep) -> None:
        self.breaker = breaker
        self._concurrency = provider.concurrency
        self._clock = clock
        self._sleep = sleep
        self._minute = SlidingMinute(clock, requests=provider.requests_per_minute, tokens=provider.tokens_per_minute)
        self._not_before: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begin()

    @asynccontextmanager
    async def turn(self, tokens: int) -> AsyncIterator[Turn]:
        """Wait until a slot is free or soon will be, and until the minute has room for this many tokens."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # another loop's slots and queue are void: their holders ended with it
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
        """Start no call for this many seconds, because the provider asked for it in an answer."""
        until = self._clock.monotonic() + seconds
        self._not_before = max(until, self._not_before) if self._not_before else until

    def correct(self, turn: Turn, tokens: int) -> None:
        """Replace the call's estimate by the tokens it used."""
        if turn.passage is not None:
            self._minute.correct(turn.passage, tokens)

    def leave(self, turn: Turn) -> None:
        """The call was not made."""
        if turn.passage is not None:
            self._minute.leave(turn.passage)

    async def _pass(self, tokens: int) -> Passage | None:
        nobody_waits = self._minute.unlimited and self._not_before is None
        if nobody_waits or self.breaker.resting:  # a call about to be refused need not wait
            return None
        async with self._head:  # only the first in the queue waits for room; the others wait for the first
            wait = max(self._pause_left(), self._minute.seconds_until_room(tokens))
            if wait > 0:
                await self._sleep(wait)
            self._minute.seconds_until_room(tokens)  # drops entries that are now older than a minute
            return self._minute.enter(tokens)

    def _pause_left(self) -> float:
        if self._not_before is None:
            return 0.0
        left = self._not_before - self._clock.monotonic()
        if left <= 0:
            self._not_before = None
        return max(left, 0.0)
