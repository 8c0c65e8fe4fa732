"""What travels to a node with a task."""

from aegis_dagster.workers.child import TASKS
from aegis_dagster.workers.ray.travel import TRAVEL


def test_every_task_says_which_files_it_reads() -> None:
    assert TASKS.keys() <= TRAVEL.keys()
