"""Runs whose process is gone while Dagster believes that they go on: after a power failure, an out-of-memory kill.

Belongs here: finding them by the process that Dagster wrote down when it started them, and telling Dagster.
Does not belong here: starting them again (`run_retries` in dagster.yaml does), runs in containers: their launchers can
be asked, and `run_monitoring` asks.
"""

import re

import dagster as dg

from aegis_dagster.stores.owners import process_is_gone

_STARTED = re.compile(r"Started process for run \(pid: (\d+)\)")
_EVENTS = 20  # engine events of a run that are looked at: its process is among the first


def fail_dead_runs(instance: dg.DagsterInstance, jobs: tuple[str, ...]) -> list[str]:
    """Mark the runs of these jobs that nobody works on any more as failed. Returns their ids."""
    if not isinstance(instance.run_launcher, dg.DefaultRunLauncher):
        return []
    wanted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    dead = []
    for run in instance.get_runs(wanted):
        if run.job_name in jobs and _is_dead(instance, run.run_id):
            instance.report_run_failed(run, "Its process is gone without a word: killed, or the machine went down.")
            dead.append(run.run_id)
    return dead


def _is_dead(instance: dg.DagsterInstance, run_id: str) -> bool:
    found = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT, limit=_EVENTS)
    for record in found.records:
        if match := _STARTED.match(record.event_log_entry.message):
            if not process_is_gone(int(match[1]), record.timestamp):
                return False
            # It may have ended well a moment ago. Now that it is gone it writes nothing more: what stands there is so.
            again = instance.get_run_by_id(run_id)
            return again is not None and again.status is dg.DagsterRunStatus.STARTED
    return False
