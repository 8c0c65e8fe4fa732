"""The Dagster definitions, assembled in one place."""

import dagster as dg

from aegis_dagster.defs.alerting.sensor import paging_sensor
from aegis_dagster.defs.automation.schedules import schedules
from aegis_dagster.defs.automation.watched_folder_sensor import watched_folder_sensor
from aegis_dagster.defs.containers.placing import placed
from aegis_dagster.defs.costs.assets import check_costs_after_calls, cost_checks, llm_costs
from aegis_dagster.defs.costs.monthly_report import monthly_cost_report
from aegis_dagster.defs.ingestion.asset_checks import CHECKS
from aegis_dagster.defs.ingestion.assets import ASSETS
from aegis_dagster.defs.ingestion.config import IngestOptions
from aegis_dagster.defs.ingestion.root_checks import watched_root_checks
from aegis_dagster.defs.jobs import JOBS, container_jobs
from aegis_dagster.defs.on_ray import ray_jobs
from aegis_dagster.defs.resources import LedgerResource, LlmResource, ProjectResource, settings_or_defaults
from aegis_dagster.defs.visible_logs import guard_logs
from aegis_dagster.environment import collect_garbage_rarely, keep_files_private


def build_definitions(
    project: ProjectResource | None = None, llm: LlmResource | None = None, ledger: LedgerResource | None = None
) -> dg.Definitions:
    """All definitions over one home; tests and the command line pass their own resources.

    There is one pair of money checks for each provider of the settings that hold now.
    """
    project = project or ProjectResource()
    settings = settings_or_defaults(project.home)
    return dg.Definitions(
        assets=[*placed(ASSETS, settings), llm_costs, monthly_cost_report],
        asset_checks=[*CHECKS, watched_root_checks, cost_checks(settings.llm.tiers)],
        jobs=[*JOBS, *container_jobs(settings), *ray_jobs(settings)],
        schedules=schedules(settings.schedules),
        sensors=[
            check_costs_after_calls,
            watched_folder_sensor(settings.schedules.watched_folder),
            paging_sensor(settings.alerts.seconds),
        ],
        resources={
            "project": project,
            "ingest_options": IngestOptions(),
            "llm": llm or LlmResource(home=project.home),
            "ledger": ledger or LedgerResource(home=project.home),
        },
    )


collect_garbage_rarely()
keep_files_private()  # in the processes of Dagster that load this: code location, runs, steps
guard_logs()
defs = build_definitions()
