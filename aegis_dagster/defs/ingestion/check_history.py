"""How an asset check was evaluated last, as Dagster keeps it."""

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

_EVALUATED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


def passed_last(instance: dg.DagsterInstance, key: dg.AssetCheckKey, partition: str | None = None) -> bool | None:
    """Whether a check, of a partition where it has some, passed when it was evaluated last; None: it never was.

    One that a run is about to evaluate has not been.
    """
    latest = instance.event_log_storage.get_asset_check_execution_history(
        key, limit=1, status=_EVALUATED, partition_filter=PartitionKeyFilter(key=partition) if partition else None
    )
    return latest[0].status is AssetCheckExecutionRecordStatus.SUCCEEDED if latest else None


def newest_run(instance: dg.DagsterInstance, key: dg.AssetCheckKey, partition: str) -> str:
    """The run that evaluated a check of a partition last, or is about to; "": none."""
    newest = instance.event_log_storage.get_asset_check_execution_history(
        key, limit=1, partition_filter=PartitionKeyFilter(key=partition)
    )
    return newest[0].run_id if newest else ""
