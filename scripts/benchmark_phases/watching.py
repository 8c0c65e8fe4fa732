"""What the processes of a command take: their peak memory, and how many there are.

Memory is the proportional set size (PSS): pages that processes share count once.
"""

import subprocess
import time
from dataclasses import dataclass, field

import psutil


@dataclass(slots=True)
class Watched:
    """What was seen of a process and all below it. One that lives shorter than the time between two looks is missed."""

    peak: int = 0  # bytes, of all together
    processes: set[tuple[int, float]] = field(default_factory=set)  # ids and times of their start

    def look(self, pid: int) -> None:
        """Take in what there is now."""
        total = 0
        try:
            parent = psutil.Process(pid)
            for process in [parent, *parent.children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                    self.processes.add((process.pid, process.create_time()))
                except psutil.Error:  # it ended meanwhile
                    continue
        except psutil.Error:
            pass
        self.peak = max(self.peak, total)


def watch(process: subprocess.Popen[str], seconds: float) -> Watched:
    """Look every so many seconds until it ends."""
    watched = Watched()
    while process.poll() is None:
        watched.look(process.pid)
        time.sleep(seconds)
    return watched
