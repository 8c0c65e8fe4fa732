"""The Dagster definitions, assembled in one place.

Belongs here: the one builder. Does not belong here: any definition (`defs/`).
"""

import dagster as dg

from aegis_dagster.defs.assets import ASSETS
from aegis_dagster.defs.checks import CHECKS
from aegis_dagster.defs.config import IngestOptions
from aegis_dagster.defs.costs import cost_checks, llm_costs
from aegis_dagster.defs.jobs import JOBS, SENSORS
from aegis_dagster.defs.llm_resource import LedgerResource, LlmResource
from aegis_dagster.defs.monthly_report import monthly_cost_report
from aegis_dagster.defs.paging import paging_sensor
from aegis_dagster.defs.resources import ProjectResource, settings_or_defaults
from aegis_dagster.defs.root_checks import watched_root_checks
from aegis_dagster.defs.schedules import schedules
from aegis_dagster.defs.watching import watched_folder_sensor


def build_definitions(
    project: ProjectResource | None = None, llm: LlmResource | None = None, ledger: LedgerResource | None = None
) -> dg.Definitions:
    """All definitions over one home; tests and the command line pass their own resources.

    There is one pair of money checks for each provider of the settings that hold now.
    """
    project = project or ProjectResource()
    settings = settings_or_defaults(project.home)
    return dg.Definitions(
        assets=[*ASSETS, llm_costs, monthly_cost_report],
        asset_checks=[*CHECKS, watched_root_checks, cost_checks(settings.llm.tiers)],
        jobs=JOBS,
        schedules=schedules(settings.schedules),
        sensors=[
            *SENSORS,
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


defs = build_definitions()
