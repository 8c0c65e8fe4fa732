"""Evaluates the failed checks of a collection again when documents of it are removed.

A deletion starts no run of the collection. So a check that failed because of the document would stay failed, and its
alert would keep firing, until another document changes.
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
    """Evaluate those checks of these collections that failed at their last evaluation, and record the results.

    run: the one that removes documents; checks that it evaluates anyway are left to it. Raises ServiceError.
    """
    for collection in sorted(collections):
        failed = [check for check in COLLECTION_CHECKS if _fails(instance, check, run, collection)]
        documents = project.documents.all(collection) if failed else []
        for check in failed:
            _record(instance, check, check.evaluate(project, documents), run, collection)


def passed_last(instance: dg.DagsterInstance, key: dg.AssetCheckKey, partition: str | None = None) -> bool | None:
    """Whether a check (of a partition, if it is partitioned) passed at its last evaluation; None: there is none.

    A check that a run is about to evaluate counts as not evaluated.
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
    """The run that last evaluated a check of a partition, or is about to; "": none."""
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
    """Record it in the run: outside runs Dagster keeps one evaluation of a partition and refuses a second."""
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
