"""Rules that the schedules share: when they tick, and which collections get a run at a tick."""

from collections.abc import Collection, Mapping
from typing import Any

import dagster as dg

from aegis_dagster.defs.runs import PARTITION_TAG
from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.run_requests import Turn, turn_of
from aegis_dagster.settings.schedules import TimedSettings

_SCHEDULE_TAG = "dagster/schedule_name"
_REMEMBERED = 2000  # runs of a schedule that are read; a collection without one of these comes first


def when(times: TimedSettings) -> dict[str, Any]:
    """The arguments of a schedule that set when it ticks and whether it is on."""
    status = dg.DefaultScheduleStatus
    return {
        "cron_schedule": times.cron,
        "execution_timezone": times.time_zone,
        "default_status": status.RUNNING if times.enabled else status.STOPPED,
    }


def turn(
    instance: dg.DagsterInstance,
    schedule: str,
    documents: Mapping[CollectionName, int],
    *,
    at_work: Collection[CollectionName],
    most: int,
) -> Turn:
    """The collections that get a run at this tick. documents: how many documents of each collection have work."""
    last_ms = _last_ms(instance, schedule) if len(documents) > most else {}
    return turn_of(documents, at_work=at_work, last_ms=last_ms, most=most)


def _last_ms(instance: dg.DagsterInstance, schedule: str) -> dict[CollectionName, int]:
    """When the schedule's newest run for each collection was created."""
    found: dict[CollectionName, int] = {}
    requested = dg.RunsFilter(tags={_SCHEDULE_TAG: schedule})
    for stored in instance.get_run_records(filters=requested, limit=_REMEMBERED):
        name = CollectionName(stored.dagster_run.tags.get(PARTITION_TAG, ""))
        found[name] = max(found.get(name, 0), int(stored.create_timestamp.timestamp() * 1000))
    return found
