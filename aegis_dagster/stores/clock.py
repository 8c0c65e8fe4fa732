"""The real clock."""

from datetime import UTC, datetime


class SystemClock:
    """The computer's clock, in UTC."""

    def now(self) -> datetime:
        """The current time."""
        return datetime.fromtimestamp(_timestamp(), UTC)


def _timestamp() -> float:
    from time import time_ns

    return time_ns() / 1e9
