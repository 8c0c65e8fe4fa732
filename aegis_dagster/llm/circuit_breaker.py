"""The circuit breaker of one provider: after consecutive failures the provider rests, then one call probes it."""

from aegis_dagster.llm.retry_policy import Rest
from aegis_dagster.ports import Clock


class Breaker:
    """Lets a provider that keeps failing rest, then lets one call through to see whether it recovered.

    Every admitted call gets a ticket and returns it when it ends. A ticket from before a rest is ignored: thirty
    calls that fail together cause one rest, not thirty.
    """

    def __init__(self, clock: Clock, *, after_failures: int, rest_seconds: float, longest_rest_seconds: float) -> None:
        self._clock = clock
        self._after_failures = after_failures
        self._rest_seconds = rest_seconds
        self._longest_rest_seconds = longest_rest_seconds
        self._failures = 0  # in a row
        self._rests = 0  # in a row, without an answer in between
        self._until: float | None = None  # the clock's `monotonic`: resting, or waiting for a probe; None: healthy
        self._probing = False
        self._ticket = 0  # grows with every rest

    @property
    def resting(self) -> bool:
        """Whether a call would be refused now."""
        return self._until is not None and (self._probing or self._clock.monotonic() < self._until)

    def admit(self) -> int | None:
        """A ticket for one call; None while resting. After a rest only one call at a time gets a ticket, as a probe."""
        if self.resting:
            return None
        self._probing = self._until is not None
        return self._ticket

    def answered(self, ticket: int) -> None:
        """Record that the provider worked as it should, even if it refused the request."""
        if ticket == self._ticket:
            self._failures = self._rests = 0
            self._until = None
            self._probing = False

    def failed(self, ticket: int, rest: Rest) -> bool:
        """Record a failure; Rest.NO counts as an answer. Returns whether a rest begins."""
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
        """Record that the call was not made or was cancelled: it says nothing about the provider's health."""
        if ticket == self._ticket:
            self._probing = False

    def rest(self, seconds: float) -> None:
        """Admit no call for this many seconds; a longer rest that has begun is kept."""
        until = self._clock.monotonic() + seconds
        self._until = max(until, self._until) if self._until else until
        self._probing = False
        self._failures = 0
        self._ticket += 1
