"""Checks of a collection that failed, evaluated again when documents of it are removed.

A deleted document gets no run of its collection, and a check that failed because of it would fail, and its alert fire,
until some other document changes.
"""

from collections.abc import Iterable

import dagster as dg

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.ingestion.asset_checks import COLLECTION_CHECKS, CollectionCheck
from aegis_dagster.defs.ingestion.check_history import newest_run, passed_last
from aegis_dagster.domain.identifiers import CollectionName


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


def _fails(
    instance: dg.DagsterInstance, check: CollectionCheck, run: dg.DagsterRun, collection: CollectionName
) -> bool:
    failed = passed_last(instance, check.key, collection) is False
    return failed and newest_run(instance, check.key, collection) != run.run_id


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
