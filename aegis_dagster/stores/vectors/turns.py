"""Whose turn it is on a folder that admits one process at a time."""

from __future__ import annotations

import fcntl
import os
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import FileLock


class Turns:
    """Two file locks beside a folder: one is held by who uses it, the other by who is next.

    Others wait for the second lock; so who uses the folder sees, without asking anybody, that somebody waits.
    The system frees both when a process is killed. Threads that share an object must call it one at a time.
    """

    def __init__(self, path: Path | None) -> None:
        """path: the folder, which need not exist; None: a server, where it is everybody's turn."""
        self._path = path
        self._look: int | None = None  # descriptor of the file that who is next holds: opened once, looked at often

    @cached_property
    def _using(self) -> FileLock:
        return self._lock("lock")

    @cached_property
    def _next(self) -> FileLock:
        return self._lock("next")

    def _lock(self, suffix: str) -> FileLock:
        from filelock import FileLock  # most commands only look whether the folder is there

        # It may be acquired in one thread and released in another.
        return FileLock(f"{self._path}.{suffix}", thread_local=False)

    def take(self, seconds: float) -> bool:
        """Wait for the turn; False: it did not come in that time. Raises OSError."""
        from filelock import Timeout

        if self._path is None:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + seconds
        try:
            with self._next.acquire(timeout=seconds):
                self._look = os.open(f"{self._path}.next", os.O_RDWR)
                self._using.acquire(timeout=max(0, until - time.monotonic()))
        except Timeout:
            self._look_no_more()
            return False
        except OSError:
            self._look_no_more()
            raise
        return True

    def give_up(self) -> None:
        """End the turn."""
        self._look_no_more()
        if self._path is not None:
            self._using.release()

    def is_awaited(self) -> bool:
        """During the own turn: whether somebody waits for its end. Raises OSError."""
        if self._look is None:  # a server, which nobody waits for
            return False
        try:
            fcntl.flock(self._look, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._look, fcntl.LOCK_UN)
        return False

    def _look_no_more(self) -> None:
        if self._look is not None:
            os.close(self._look)
            self._look = None

    def forget(self) -> None:
        """Delete the locks of a folder that nobody will use again."""
        for lock in ("lock", "next"):
            Path(f"{self._path}.{lock}").unlink(missing_ok=True)
