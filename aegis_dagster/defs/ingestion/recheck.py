"""Checks of a collection that failed, evaluated again when documents of it are removed.

A deleted document gets no run of its collection, and a check that failed because of it would fail, and its alert fire,
until some other document changes.
"""

from collections.abc import Iterable

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.ingestion.asset_checks import COLLECTION_CHECKS, CollectionCheck
from aegis_dagster.domain.identifiers import CollectionName

_EVALUATED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


def evaluate_failed_again(
    instance: dg.DagsterInstance, project: Project, run: dg.DagsterRun, collections: Iterable[CollectionName]
) -> None:
    """Record how those checks of these collections stand now that failed when they were evaluated last.

    run: the one that removes documents; what it evaluates anyway is left to it. Raises ServiceError.
    """
    for collection in sorted(collections):
        failed = [check for check in COLLECTION_CHECKS if _fails(instance, check, run, collection)]
        documents = project.documents.all(collection) if failed else []
        for check in failed:
            _record(instance, check, check.evaluate(project, documents), run, collection)


def passed_last(instance: dg.DagsterInstance, key: dg.AssetCheckKey, partition: str | None = None) -> bool | None:
    """Whether a check, of a partition where it has some, passed when it was evaluated last; None: it never was.

    One that a run is about to evaluate has not been.
    """
    latest = instance.event_log_storage.get_asset_check_execution_history(
        key, limit=1, status=_EVALUATED, partition_filter=PartitionKeyFilter(key=partition) if partition else None
    )
    return latest[0].status is AssetCheckExecutionRecordStatus.SUCCEEDED if latest else None


def _fails(
    instance: dg.DagsterInstance, check: CollectionCheck, run: dg.DagsterRun, collection: CollectionName
) -> bool:
    failed = passed_last(instance, check.key, collection) is False
    return failed and _newest_run(instance, check.key, collection) != run.run_id


def _newest_run(instance: dg.DagsterInstance, key: dg.AssetCheckKey, partition: str) -> str:
    """The run that evaluated a check of a partition last, or is about to; "": none."""
    newest = instance.event_log_storage.get_asset_check_execution_history(
        key, limit=1, partition_filter=PartitionKeyFilter(key=partition)
    )
    return newest[0].run_id if newest else ""


def _record(
    instance: dg.DagsterInstance,
    check: CollectionCheck,
    result: dg.AssetCheckResult,
    run: dg.DagsterRun,
    collection: CollectionName,
) -> None:
    """As an event of the run: Dagster keeps one evaluation of a partition outside runs, and refuses a second."""
    evaluation = dg.AssetCheckEvaluation(
        asset_key=check.key.asset_key,
        check_name=check.key.name,
        passed=result.passed,
        severity=result.severity,
        metadata=result.metadata,
        description=result.description or "Evaluated again when documents were removed.",
        partition=collection,
    )
    said = f"Check {check.key.name} of {collection} {'passes' if result.passed else 'fails'}: documents were removed."
    event = dg.DagsterEvent(
        dg.DagsterEventType.ASSET_CHECK_EVALUATION.value, run.job_name, event_specific_data=evaluation, message=said
    )
    instance.report_dagster_event(event, run.run_id)
