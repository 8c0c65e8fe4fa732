"""The circuit breaker of one provider: it rests after failures in a row, then is probed by one call."""

from datetime import datetime, timedelta

from aegis_dagster.llm.retry_policy import Rest
from aegis_dagster.ports import Clock


class Breaker:
    """Lets a provider that keeps failing rest, then lets one call through to see whether it recovered.

    Every admitted call gets a ticket and hands it back with its end. A ticket from before a rest counts no more:
    thirty calls that fail together are one rest, not thirty.
    """

    def __init__(self, clock: Clock, *, after_failures: int, rest_seconds: float, longest_rest_seconds: float) -> None:
        self._clock = clock
        self._after_failures = after_failures
        self._rest_seconds = rest_seconds
        self._longest_rest_seconds = longest_rest_seconds
        self._failures = 0  # in a row
        self._rests = 0  # in a row, with no answer between
        self._until: datetime | None = None  # resting, or waiting for a probe; None: healthy
        self._probing = False
        self._ticket = 0  # grows with every rest

    @property
    def resting(self) -> bool:
        """Whether a call would be turned away now."""
        return self._until is not None and (self._probing or self._clock.now() < self._until)

    def admit(self) -> int | None:
        """A ticket for one call; None: resting. After a rest only the first who asks gets one, until it is back."""
        if self.resting:
            return None
        self._probing = self._until is not None
        return self._ticket

    def answered(self, ticket: int) -> None:
        """The provider did what it should, be it to refuse the request."""
        if ticket == self._ticket:
            self._failures = self._rests = 0
            self._until = None
            self._probing = False

    def failed(self, ticket: int, rest: Rest) -> bool:
        """The call failed; Rest.NO is an answer. Whether a rest begins with it."""
        if rest is Rest.NO:
            self.answered(ticket)
            return False
        if ticket != self._ticket:
            return False
        self._failures += 1
        if not self._probing and rest is not Rest.AT_ONCE and self._failures < self._after_failures:
            return False
        seconds = self._rest_seconds * 2 ** min(self._rests, 20)
        self._rests += 1
        self.rest(min(seconds, self._longest_rest_seconds))
        return True

    def abandoned(self, ticket: int) -> None:
        """The call was not made, or was given up: it says nothing about the provider."""
        if ticket == self._ticket:
            self._probing = False

    def rest(self, seconds: float) -> None:
        """No call for so long, or longer where a longer rest has begun."""
        until = self._clock.now() + timedelta(seconds=seconds)
        self._until = max(until, self._until) if self._until else until
        self._probing = False
        self._failures = 0
        self._ticket += 1
