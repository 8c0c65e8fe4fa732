"""Waits for something to become true, however slow the machine is or however long it pauses."""

import time
from collections.abc import Callable


def until(met: Callable[[], object], what: str = "what the test waits for", *, seconds: float = 200) -> None:
    """Poll. seconds: when to give up; the limit means that it never happens and measures no speed."""
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, f"{what} has not come for {seconds:g} s"
        time.sleep(0.05)
