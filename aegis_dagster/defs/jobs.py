"""The jobs that operators, sensors and schedules start."""

from typing import Any

import dagster as dg
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME

from aegis_dagster.defs.containers.left_behind import uses_containers
from aegis_dagster.defs.costs.assets import check_budgets, check_costs
from aegis_dagster.defs.costs.monthly_report import report_month
from aegis_dagster.defs.ingestion.assets import ASSETS, scan_and_remove
from aegis_dagster.defs.ingestion.cleanup import clean_up
from aegis_dagster.defs.ingestion.config import ScanConfig, for_collection
from aegis_dagster.defs.ingestion.dry_run import plan_ingestion
from aegis_dagster.defs.ingestion.root_checks import watched_root_checks
from aegis_dagster.defs.preloaded import PRELOADED
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.settings import Settings

# There only where the settings ask for them.
IN_CONTAINERS, ON_RAY = "ingest_in_containers", "ingest_on_ray"

# Without the checks of the root: each would list the root once more.
STAGES_OF_A_COLLECTION = dg.AssetSelection.assets(*ASSETS) - dg.AssetSelection.checks(watched_root_checks)

ingest = dg.define_asset_job(
    "ingest",
    selection=STAGES_OF_A_COLLECTION,
    config=for_collection,
    executor_def=dg.in_process_executor,
    description="Bring one collection up to date, all five stages in one process. For everyday amounts. Choose "
    "documents and force under `resources: ingest_options`; `plan_ingestion` shows first what would be done. The run's "
    "tag `aegis/outcome` says how it ended.",
)

ingest_parallel = dg.define_asset_job(
    "ingest_parallel",
    selection=STAGES_OF_A_COLLECTION,
    config=for_collection,
    executor_def=dg.multiprocess_executor.configured(
        {"max_concurrent": 2, "start_method": {"forkserver": {"preload_modules": PRELOADED}}}
    ),
    description="Bring one collection up to date, each step in its own process; embeddings and graph side by side. "
    "For first ingestions and re-embedding. Takes the same run config as `ingest`.",
)


def container_jobs(settings: Settings) -> list[Any]:
    """The job whose steps run in containers, where the settings name their image."""
    if not uses_containers(settings):
        return []
    from aegis_dagster.defs.containers.executor import container_executor  # the extra `docker`

    job = dg.define_asset_job(
        IN_CONTAINERS,
        selection=STAGES_OF_A_COLLECTION,
        config=for_collection,
        executor_def=container_executor(settings),
        description="Bring one collection up to date, each step in a container of its own; parse, enrich and embed "
        "get the GPUs of `containers.gpus`. Takes the same run config as `ingest`, and under `execution` that of "
        "dagster-docker's executor.",
    )
    return [job]


@dg.op(description="Compare the watched root with the catalog; new collections become partitions.")
async def scan_watched_root(context: dg.OpExecutionContext, config: ScanConfig, project: ProjectResource) -> None:
    """Record what is new, changed, moved and deleted; parse nothing."""
    with project.dagster_errors():
        listing = await scan_and_remove(project.open(), project, config.confirm_deletions, context)
    diff = listing.diff
    context.log.info(
        f"{len(diff.new)} new, {len(diff.changed)} changed, {len(diff.moved)} moved, {len(diff.deleted)} deleted, "
        f"{diff.unchanged} unchanged, {len(listing.passed_over)} passed over"
    )


@dg.job(
    description="Look at the watched root without processing anything. Run it once so that partitions appear.",
)
def scan_root() -> None:
    """The scan as a job."""
    scan_watched_root()


JOBS: list[Any] = [
    *(ingest, ingest_parallel, plan_ingestion, scan_root, clean_up),
    *(check_costs, check_budgets, report_month),
]
ASSET_JOB = IMPLICIT_ASSET_JOB_NAME  # what the UI's button Materialize launches: Dagster's own job for chosen assets
OWN_JOB_NAMES = (*(str(job.name) for job in JOBS), IN_CONTAINERS, ON_RAY)
JOB_NAMES = (*OWN_JOB_NAMES, ASSET_JOB)
