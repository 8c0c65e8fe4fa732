"""A clock that tests set."""

from datetime import UTC, datetime, timedelta


class SetClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 31, 12, tzinfo=UTC)
        self.moved = timedelta()

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.moved.total_seconds()

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.time += timedelta(seconds=seconds)
        self.moved += timedelta(seconds=seconds)
