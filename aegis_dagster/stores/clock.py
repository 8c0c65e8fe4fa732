"""The real clock."""

import time
from datetime import UTC, datetime


class SystemClock:
    """The computer's clock, in UTC."""

    def now(self) -> datetime:
        """The current time."""
        return datetime.fromtimestamp(_timestamp(), UTC)

    def monotonic(self) -> float:
        """Seconds that only grow, also while somebody sets the clock."""
        return time.monotonic()


def _timestamp() -> float:
    from time import time_ns

    return time_ns() / 1e9
