"""The paging sensor: it follows asset checks and runs, and notifies people of changes."""

import time

import dagster as dg

from aegis_dagster.composition.pager import paging_channels
from aegis_dagster.composition.project import Project
from aegis_dagster.defs.alerting.events import READ_AGAIN, batches_after, start_of
from aegis_dagster.defs.containers.left_behind import remove_of_runs_that_are_over
from aegis_dagster.defs.jobs import JOB_NAMES
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.defs.runs import fail_dead_runs, location_of
from aegis_dagster.monitoring.paging.channels import HOW_TO
from aegis_dagster.monitoring.paging.pager import Delivery, Pager
from aegis_dagster.ports import PageChannel
from aegis_dagster.stores.alerts.alerts import now_us
from aegis_dagster.stores.alerts.outbox import AlertsOutbox

# A tick is given up after 60 s, and then its cursor is not stored.
_READING_SECONDS = 12.0
_SENDING_SECONDS = 15.0


def follow(instance: dg.DagsterInstance, pager: Pager, cursor: int, now: int, *, seconds: float) -> tuple[int, bool]:
    """Pass the events after the cursor to the pager. Returns the new cursor and whether all were read in time.

    now: microseconds since 1970-01-01 UTC. The cursor stays before the most recent events, which are read again.
    """
    end = time.monotonic() + seconds
    settled = now - int(READ_AGAIN.total_seconds() * 1_000_000)
    position = cursor = start_of(instance, cursor)
    moving = True
    for batch in batches_after(instance, cursor):
        pager.see(batch.events)
        for mark, at_us in batch.marks:
            moving = moving and at_us < settled
            position = mark if moving else position
        if not batch.complete and time.monotonic() > end:
            return position, False
    pager.caught_up()
    return position, True


def look(instance: dg.DagsterInstance, project: Project, channels: list[PageChannel], cursor: int) -> tuple[int, str]:
    """Read the events and notify people. Returns the new cursor and a summary in words. Raises ServiceError."""
    outbox = AlertsOutbox(project.engine, project.clock)
    pager = Pager(project.alerts, outbox, channels, retry_seconds=project.settings.alerts.seconds, clock=project.clock)
    pager.begin()
    try:
        cursor, complete = follow(instance, pager, cursor, now_us(project.clock), seconds=_READING_SECONDS)
    finally:  # waiting messages are sent even when Dagster's log cannot be read
        delivery = pager.deliver(_SENDING_SECONDS)
    return cursor, _told(delivery, complete)


def _told(delivery: Delivery, complete: bool) -> str:
    sent = [f"{count} to {name}" for name, count in sorted(delivery.delivered.items())]
    parts = [
        "" if complete else "There is more to read.",
        f"Sent {', '.join(sent)}." if sent else "Nothing to tell.",
        *(f"{name}: {error}" for name, error in sorted(delivery.errors.items())),
    ]
    return " ".join(part for part in parts if part)


def paging_sensor(seconds: int) -> dg.SensorDefinition:
    """The sensor, with this interval between its ticks."""

    @dg.sensor(
        name="page_on_change",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=seconds,
        description="Pages when an asset check fails or passes again (of any asset of this Dagster), and when a run "
        "fails or succeeds again: once for each change, through Alertmanager and the addresses in AEGIS_NOTIFY.",
    )
    def page_on_change(context: dg.SensorEvaluationContext, project: ProjectResource) -> dg.SensorResult:
        # This sensor is on by default, and people are notified at once.
        fail_dead_runs(context.instance, JOB_NAMES, location_of(context))
        with project.opened() as opened:
            remove_of_runs_that_are_over(context.instance, opened)
            channels = paging_channels(opened)
            if not channels:
                return dg.SensorResult(skip_reason=f"Nobody is paged: {HOW_TO}", cursor=context.cursor)
            cursor, told = look(context.instance, opened, channels, int(context.cursor or 0))
        return dg.SensorResult(skip_reason=told, cursor=str(cursor))

    return page_on_change
