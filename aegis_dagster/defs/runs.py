"""Queries about Dagster's runs for sensors and schedules: which have ended, and which have lost their process.

After a power failure or an out-of-memory kill, Dagster believes that a run goes on. A tag of the run names the process
that executes it. The command line writes the tag when it creates a run. Of a run that Dagster launched, only the
process id is known, and that it is on the host of its code location. The sensors of that location run on the same host,
so the first one that sees the process alive writes the tag.
"""

import re
from collections.abc import Callable, Collection

import dagster as dg

from aegis_dagster.process_identity import is_dead, owner_seen

PARTITION_TAG = "dagster/partition"
OVER = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
NOT_OVER = tuple(status for status in dg.DagsterRunStatus if status not in OVER)
_OWNER_TAG = ".dagster/aegis_owner"  # hidden in the UI
_STARTED = re.compile(r"Started process for run \(pid: (\d+)\)")
_EVENTS = 20  # engine events of a run that are looked at: its process is among the first


def partitions_at_work(
    instance: dg.DagsterInstance, about: Callable[[dg.DagsterRun], bool] = lambda _: True
) -> set[str]:
    """The partitions of runs of any job that are queued or in progress. about: decides whether a run counts."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=NOT_OVER))
    return {run.tags[PARTITION_TAG] for run in runs if PARTITION_TAG in run.tags and about(run)}


def done_by(run_id: str, owner: str) -> dict[str, str]:
    """The tag that names the process which executes a run.

    It contains the run's id, because Dagster copies the tags of a run to its retry.
    """
    return {_OWNER_TAG: f"{run_id} {owner}"}


def location_of(context: dg.SensorEvaluationContext) -> str:
    """The code location of a sensor; "" outside of one."""
    origin = context.code_location_origin
    return origin.location_name if origin else ""


def fail_dead_runs(instance: dg.DagsterInstance, jobs: Collection[str], location: str = "") -> list[str]:
    """Mark the runs of these jobs whose process is gone as failed. Returns their ids.

    location: the code location that asks; for runs that another one launched, only their tag counts. Runs on another
    host are left alone.
    """
    dead = []
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        if run.job_name in jobs and _nobody_does(instance, run, location) and _started_still(instance, run.run_id):
            instance.report_run_failed(run, "Its process ended without a report: killed, or the machine went down.")
            dead.append(run.run_id)
    return dead


def runs_at_work(instance: dg.DagsterInstance) -> list[str]:
    """The ids of the runs of any job that are queued or in progress, unless their process is known to be gone."""
    unfinished = instance.get_runs(dg.RunsFilter(statuses=NOT_OVER))
    return [run.run_id for run in unfinished if not _nobody_does(instance, run, "")]


def _nobody_does(instance: dg.DagsterInstance, run: dg.DagsterRun, location: str) -> bool:
    named, _, owner = run.tags.get(_OWNER_TAG, "").partition(" ")
    if named == run.run_id:
        return is_dead(owner)
    launched_by = run.remote_job_origin.location_name if run.remote_job_origin else ""
    process = _process_of(instance, run.run_id) if launched_by == location else None
    if process is None:
        return False
    seen = owner_seen(*process)
    if seen is not None:
        instance.add_run_tags(run.run_id, done_by(run.run_id, seen))
    return seen is None


def _process_of(instance: dg.DagsterInstance, run_id: str) -> tuple[int, float] | None:
    """The id of the process that a run was launched in, and when it reported it, in seconds since 1970-01-01 UTC."""
    if not isinstance(instance.run_launcher, dg.DefaultRunLauncher):
        return None
    found = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT, limit=_EVENTS)
    for record in found.records:
        if match := _STARTED.match(record.event_log_entry.message):
            return int(match[1]), record.timestamp
    return None


def _started_still(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether the run, read again now, is still started: it may have ended just before its process was gone."""
    again = instance.get_run_by_id(run_id)
    return again is not None and again.status is dg.DagsterRunStatus.STARTED
