"""The job `clean_up`: it removes every trace of deleted documents, and the partitions of empty collections."""

import logging

import dagster as dg

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.ingestion.config import collections
from aegis_dagster.defs.ingestion.recheck import evaluate_failed_again
from aegis_dagster.defs.ingestion.run_gauges import Gateway, forget_gauges
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.defs.runs import partitions_at_work
from aegis_dagster.stages.cleanup import sweep_artifacts, tidy_up
from aegis_dagster.stages.context import Workbench
from aegis_dagster.stores.catalog.pending_work import WorkLeft

logger = logging.getLogger(__name__)


def put_partitions_right(instance: dg.DagsterInstance, project: Project) -> None:
    """Add partitions for new collections; drop those of empty collections once no trace is left to remove.

    A partition with a run stays until the run ends: Dagster fails a run whose partition is gone. The series that runs
    pushed to the Pushgateway are deleted with the partition.
    """
    name = str(collections.name)
    known = set(instance.get_dynamic_partitions(name))
    wanted = [str(collection) for collection in project.documents.collections()]
    new = [collection for collection in wanted if collection not in known]
    if new:
        instance.add_dynamic_partitions(name, new)
    left = known - set(wanted)
    if left:
        left -= set(WorkLeft(project.engine, project.identities).deleted())
        left -= partitions_at_work(instance) if left else set()
        for collection in sorted(left):
            instance.delete_dynamic_partition(name, collection)
        address = project.settings.metrics.pushgateway
        forget_gauges(Gateway(address, project.clock, logger.warning, instance), sorted(left))


async def remove_and_check(context: dg.OpExecutionContext, project: Project, bench: Workbench) -> int:
    """Remove the traces of deleted documents. Returns how many documents were removed.

    The checks of their collections come first: they cover the remaining documents, and after a kill in between the next
    run still finds the deleted ones. Raises ServiceError.
    """
    affected = WorkLeft(project.engine, project.identities).deleted()
    evaluate_failed_again(context.instance, project, context.run, affected)
    return await tidy_up(project.documents, bench)


@dg.op(description="Remove points, evidence, rows and artifacts of deleted documents; notice a lost vector store.")
async def remove_deleted(context: dg.OpExecutionContext, project: ProjectResource) -> None:
    """Remove what deleted documents left."""
    with project.dagster_errors():
        opened = project.open()
        async with opened.workbench(project.progress(context.log.info), run_id=context.run.run_id) as bench:
            removed = await remove_and_check(context, opened, bench)
        swept = sweep_artifacts(opened.catalog, opened.artifacts)
        put_partitions_right(context.instance, opened)
    context.log.info(f"{removed} documents were removed, {swept} artifacts deleted")


@dg.job(
    executor_def=dg.in_process_executor,
    description="Remove every trace of deleted documents from the vector store, the graph and the catalog. The sensor "
    "`watched_folder` requests it; `ingest` with `scan_root` does the same.",
)
def clean_up() -> None:
    """The removal as a job."""
    remove_deleted()
