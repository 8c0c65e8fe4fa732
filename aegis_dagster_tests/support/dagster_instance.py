"""A Dagster instance with faster events: Dagster's SQLite storage makes an engine for each event."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg


@contextmanager
def quick_instance(folder: Path) -> Iterator[dg.DagsterInstance]:
    """An instance on a folder. It does not capture the output of steps, which takes two processes for each step."""
    settings = {
        "event_log_storage": {"module": "dagster._core.storage.event_log", "class": "InMemoryEventLogStorage"},
        "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"},
    }
    with dg.DagsterInstance.local_temp(str(folder), settings) as instance:
        yield instance
