"""Waiting for something to become true, however slow the machine is or how long it stands still."""

import time
from collections.abc import Callable


def until(met: Callable[[], object], what: str = "what the test waits for", *, seconds: float = 200) -> None:
    """Ask again and again. seconds: when to give up, which says that it never comes and nothing of speed."""
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, f"{what} has not come for {seconds:g} s"
        time.sleep(0.05)
