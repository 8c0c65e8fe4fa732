"""What a process of ours does, and does not do, when it ends."""

import subprocess
import sys
from pathlib import Path

ENDS = """
import atexit, gc
from aegis_dagster.environment import collect_garbage_rarely
atexit.register(lambda: print(gc.get_freeze_count() > 0))
collect_garbage_rarely()
"""
READS = """
import sys
from aegis_dagster.environment import collect_garbage_rarely
from aegis_dagster.stores.database import open_database
collect_garbage_rarely()
engine = open_database(sys.argv[1])
engine.cycle = engine
"""


def test_a_process_that_ends_looks_for_no_garbage() -> None:
    assert subprocess.check_output([sys.executable, "-c", ENDS], text=True) == "True\n"


def test_a_process_that_ends_leaves_its_database_closed(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", READS, f"sqlite:///{tmp_path / 'aegis.db'}"], check=True)
    assert [file.name for file in tmp_path.iterdir()] == ["aegis.db"]
