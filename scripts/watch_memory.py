"""Runs a command and prints the peak of the total memory of its processes.

Usage: python scripts/watch_memory.py aegis ingest FOLDER. Memory is the proportional set size (PSS): pages that
processes share count once.
"""

import subprocess
import sys
import time

import psutil


def main() -> int:
    """Run the command. Returns its exit code; prints the peak on stderr."""
    started = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:])
    peak = 0
    while process.poll() is None:
        peak = max(peak, _memory(process.pid))
        time.sleep(0.5)
    print(f"peak memory {peak / 2**20:.0f} MB in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return process.returncode


def _memory(pid: int) -> int:
    total = 0
    try:
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            try:
                total += process.memory_full_info().pss
            except psutil.Error:  # it ended meanwhile
                continue
    except psutil.Error:
        pass
    return total


if __name__ == "__main__":
    sys.exit(main())
