"""What a process of ours does not do."""

import subprocess
import sys

ENDS = """
import atexit, gc
from aegis_dagster.environment import collect_garbage_rarely
atexit.register(lambda: print(gc.get_freeze_count() > 0))
collect_garbage_rarely()
"""


def test_a_process_that_ends_looks_for_no_garbage() -> None:
    assert subprocess.check_output([sys.executable, "-c", ENDS], text=True) == "True\n"
