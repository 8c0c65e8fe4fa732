"""Progress without a terminal: silent, or a log line now and then."""

import time
from collections.abc import Callable

_LOG_SECONDS = 10.0  # a line in Dagster's event log costs 20-35 ms on Postgres: never one per document


class Silent:
    """Shows no progress."""

    def start(self, label: str, total: int) -> None: ...

    def advance(self, label: str, done: int = 1) -> None: ...

    def finish(self, label: str) -> None: ...


class LoggedProgress:
    """Progress as one line every ten seconds."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._totals: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._last = time.monotonic()

    def start(self, label: str, total: int) -> None:
        """Begin counting towards a total."""
        self._totals[label], self._done[label] = total, 0

    def advance(self, label: str, done: int = 1) -> None:
        """Count, and log a line if the last one is old enough."""
        self._done[label] = self._done.get(label, 0) + done
        if time.monotonic() - self._last > _LOG_SECONDS:
            self._last = time.monotonic()
            self._log(f"{label}: {self._done[label]} of {self._totals.get(label, 0)}")

    def finish(self, label: str) -> None:
        """Log nothing: the materialization reports the end."""
