"""The Dagster definitions, assembled in one place.

Belongs here: the one builder. Does not belong here: any definition (`defs/`).
"""

import dagster as dg

from aegis_dagster.defs.assets import ASSETS
from aegis_dagster.defs.checks import CHECKS
from aegis_dagster.defs.costs import cost_checks, llm_costs, provider_names
from aegis_dagster.defs.jobs import JOBS, SCHEDULES, SENSORS
from aegis_dagster.defs.llm_resource import LedgerResource, LlmResource
from aegis_dagster.defs.paging import paging_sensor
from aegis_dagster.defs.resources import ProjectResource


def build_definitions(
    project: ProjectResource | None = None, llm: LlmResource | None = None, ledger: LedgerResource | None = None
) -> dg.Definitions:
    """All definitions over one home; tests and the command line pass their own resources.

    There is one pair of money checks for each provider of the settings that hold now.
    """
    project = project or ProjectResource()
    return dg.Definitions(
        assets=[*ASSETS, llm_costs],
        asset_checks=[*CHECKS, cost_checks(provider_names(project.home))],
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=[*SENSORS, paging_sensor(project.home)],
        resources={
            "project": project,
            "llm": llm or LlmResource(home=project.home),
            "ledger": ledger or LedgerResource(home=project.home),
        },
    )


defs = build_definitions()
