"""What schedules have in common: when they tick, and what Dagster knows of runs.

Belongs here: turning the times of the settings into Dagster's, asking for runs by their tags and statuses.
Does not belong here: who gets a run (`domain/turns.py`), what a schedule is about (`nightly.py`, `reembedding.py`).
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import dagster as dg

from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.turns import Turn, turn_of
from aegis_dagster.settings_schedules import TimedSettings

PARTITION_TAG = "dagster/partition"
OVER = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
NOT_OVER = tuple(status for status in dg.DagsterRunStatus if status not in OVER)
_SCHEDULE_TAG = "dagster/schedule_name"
_REMEMBERED = 2000  # runs of a schedule that are asked for; who got none of these comes first


def when(times: TimedSettings) -> dict[str, Any]:
    """The arguments of a schedule that say when it ticks, and whether."""
    status = dg.DefaultScheduleStatus
    return {
        "cron_schedule": times.cron,
        "execution_timezone": times.time_zone,
        "default_status": status.RUNNING if times.enabled else status.STOPPED,
    }


def partitions_at_work(
    instance: dg.DagsterInstance, about: Callable[[dg.DagsterRun], bool] = lambda _: True
) -> set[str]:
    """The partitions of runs of any job that are queued or in progress. about: asked of each run whether it counts."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=NOT_OVER))
    return {run.tags[PARTITION_TAG] for run in runs if PARTITION_TAG in run.tags and about(run)}


def turn(
    instance: dg.DagsterInstance,
    schedule: str,
    documents: Mapping[CollectionName, int],
    *,
    at_work: Collection[CollectionName],
    most: int,
) -> Turn:
    """Who gets a run at this tick. documents: how many of each collection have work."""
    last_ms = _last_ms(instance, schedule) if len(documents) > most else {}
    return turn_of(documents, at_work=at_work, last_ms=last_ms, most=most)


def _last_ms(instance: dg.DagsterInstance, schedule: str) -> dict[CollectionName, int]:
    """When the newest run of each collection that the schedule requested was created."""
    found: dict[CollectionName, int] = {}
    requested = dg.RunsFilter(tags={_SCHEDULE_TAG: schedule})
    for stored in instance.get_run_records(filters=requested, limit=_REMEMBERED):
        name = CollectionName(stored.dagster_run.tags.get(PARTITION_TAG, ""))
        found[name] = max(found.get(name, 0), int(stored.create_timestamp.timestamp() * 1000))
    return found
