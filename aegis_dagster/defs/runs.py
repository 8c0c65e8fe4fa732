"""Dagster's runs as the sensors and schedules ask about them: which are over, which partitions they work on."""

from collections.abc import Callable

import dagster as dg

PARTITION_TAG = "dagster/partition"
OVER = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
NOT_OVER = tuple(status for status in dg.DagsterRunStatus if status not in OVER)


def partitions_at_work(
    instance: dg.DagsterInstance, about: Callable[[dg.DagsterRun], bool] = lambda _: True
) -> set[str]:
    """The partitions of runs of any job that are queued or in progress. about: asked of each run whether it counts."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=NOT_OVER))
    return {run.tags[PARTITION_TAG] for run in runs if PARTITION_TAG in run.tags and about(run)}
