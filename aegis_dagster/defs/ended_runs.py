"""Ends a process of a run in a Ray cluster when the run is over.

Ray executes a job until it ends or somebody stops it. The process of the run stops the jobs of its steps when it is
told to end. Where it was killed, or an operator ended the run by force, nobody would: the steps would go on, ask models
and write. So each looks itself whether its run still goes on.
"""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from aegis_dagster.defs.runs import OVER
from aegis_dagster.environment import started_by_ray

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
_GRACE_SECONDS = 20.0  # to end workers and give claims back; what is killed then, the next run takes up


@contextmanager
def ended_with_its_run(instance: dg.DagsterInstance | None, run: dg.DagsterRun | None) -> Iterator[None]:
    """Within the block, this process ends soon after its run, if Ray started it."""
    if instance is None or run is None or not started_by_ray():
        yield
        return
    left = threading.Event()
    threading.Thread(target=_follow, args=(instance, run.run_id, left), name="run-watch", daemon=True).start()
    try:
        yield
    finally:
        left.set()


def is_over(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether a run has ended or was deleted. A storage that does not answer says nothing."""
    try:
        run = instance.get_run_by_id(run_id)
    except Exception as error:  # whatever storage this is
        logger.warning("Cannot see whether run %s goes on: %s", run_id, type(error).__name__)
        return False
    return run is None or run.status in OVER


def _follow(instance: dg.DagsterInstance, run_id: str, left: threading.Event) -> None:
    while not left.wait(_LOOK_SECONDS):
        if is_over(instance, run_id):
            logger.warning("Run %s is over, so this step of it ends.", run_id)
            os.kill(os.getpid(), signal.SIGTERM)  # Dagster turns it into an interruption of the step
            if not left.wait(_GRACE_SECONDS):
                os.kill(os.getpid(), signal.SIGKILL)
