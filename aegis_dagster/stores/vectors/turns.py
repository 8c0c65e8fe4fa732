"""Whose turn it is on a folder that admits one process at a time."""

from __future__ import annotations

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
                self._using.acquire(timeout=max(0, until - time.monotonic()))
        except Timeout:
            return False
        return True

    def give_up(self) -> None:
        """End the turn."""
        if self._path is not None:
            self._using.release()

    def is_awaited(self) -> bool:
        """During the own turn: whether somebody waits for its end. Raises OSError."""
        from filelock import Timeout

        if self._path is None:
            return False
        try:
            with self._next.acquire(timeout=0):
                return False
        except Timeout:
            return True

    def forget(self) -> None:
        """Delete the locks of a folder that nobody will use again."""
        for lock in ("lock", "next"):
            Path(f"{self._path}.{lock}").unlink(missing_ok=True)
