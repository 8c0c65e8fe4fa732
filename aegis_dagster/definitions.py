"""The Dagster definitions, assembled in one place.

Belongs here: the one builder. Does not belong here: any definition (`defs/`).
"""

import dagster as dg

from aegis_dagster.defs.assets import ASSETS
from aegis_dagster.defs.checks import CHECKS
from aegis_dagster.defs.jobs import JOBS
from aegis_dagster.defs.resources import ProjectResource


def build_definitions(project: ProjectResource | None = None) -> dg.Definitions:
    """All definitions over one project resource; tests and the command line pass their own."""
    return dg.Definitions(
        assets=ASSETS,
        asset_checks=CHECKS,
        jobs=JOBS,
        resources={"project": project or ProjectResource()},
    )


defs = build_definitions()
