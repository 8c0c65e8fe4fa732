"""Runs jobs in this process as an operator starts them, and reads what they leave in Dagster."""

import base64
import re
from typing import Any

import dagster as dg

from aegis_dagster.definitions import build_definitions
from aegis_dagster.defs.ingestion.config import collections
from aegis_dagster_tests.support.tasks_in_process import InProcessResource

STEPS = ("parsed_documents", "enriched_images", "chunks", "embeddings", "knowledge_graph")


def run(
    instance: dg.DagsterInstance,
    job: str = "ingest",
    partition: str | None = "c",
    *,
    tags: dict[str, str] | None = None,
    only: list[str] | None = None,
    **options: object,
) -> dg.ExecuteInProcessResult:
    """Run a job in this process. options: as an operator writes them in the launchpad. only: some assets of the job."""
    if partition:
        instance.add_dynamic_partitions(str(collections.name), [partition])
    return (
        build_definitions(InProcessResource(seconds_before_retry=0))
        .resolve_job_def(job)
        .execute_in_process(
            instance=instance,
            partition_key=partition,
            run_config={"resources": {"ingest_options": {"config": options}}} if partition else {},
            tags=tags,
            asset_selection=[dg.AssetKey(name) for name in only] if only else None,
            raise_on_error=False,
        )
    )


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """What a materialization shows, by key."""
    (event,) = [e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey(asset)]
    return {key: value.value for key, value in event.materialization.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """The evaluations of a run, by the name of the check."""
    return {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


def tags_of(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """The tags of a run that has ended."""
    ended = instance.get_run_by_id(result.run_id)
    assert ended is not None
    return dict(ended.tags)


def logged(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult, level: int) -> list[str]:
    """The messages of a run at a level, without those of Dagster's own events."""
    return [
        entry.user_message for entry in instance.all_logs(result.run_id) if entry.level == level and entry.user_message
    ]


def why_failed(result: dg.ExecuteInProcessResult) -> str:
    """The error messages of the failed steps."""
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failures
    return "\n".join(
        f"{failure.error.message if failure.error else ''} "
        f"{failure.user_failure_data.description if failure.user_failure_data else ''}"
        for failure in failures
    )


def pictures_in(markdown: object) -> list[bytes]:
    """The pictures that a Markdown text carries in itself."""
    return [base64.b64decode(found) for found in re.findall(r"\(data:image/\w+;base64,([^)]+)\)", str(markdown))]
