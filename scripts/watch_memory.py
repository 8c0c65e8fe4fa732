"""Runs a command and prints the peak of the total memory of its processes.

Usage: python scripts/watch_memory.py aegis ingest FOLDER. Memory is the proportional set size (PSS): pages that
processes share count once.
"""

import subprocess
import sys
import time

from benchmark_phases.watching import watch


def main() -> int:
    """Run the command. Returns its exit code; prints the peak on stderr."""
    started = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], text=True)
    peak = watch(process, 0.5).peak
    print(f"peak memory {peak / 2**20:.0f} MB in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
