"""The job `ingest_on_ray`: each step is a job of its own in a Ray cluster.

It exists where `workers.engine` is `ray` and the extra `ray` is installed. Only then is dagster-ray imported, and ray
itself not before a run begins.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dagster as dg

from aegis_dagster.defs.ingestion.config import for_collection
from aegis_dagster.defs.jobs import ON_RAY, STAGES_OF_A_COLLECTION
from aegis_dagster.settings import Settings, config_file


def ray_jobs(settings: Settings) -> list[Any]:
    """The job, if it can run here."""
    if settings.workers.engine != "ray" or find_spec("dagster_ray") is None:
        return []
    from dagster_ray import ray_executor

    ray = {"address": settings.workers.address, "env_vars": _variables(settings)}
    return [
        dg.define_asset_job(
            ON_RAY,
            selection=STAGES_OF_A_COLLECTION,
            config=for_collection,
            executor_def=ray_executor.configured({"ray": ray}),
            description="Bring one collection up to date, each step as a job in the Ray cluster, where it takes the "
            "seats of its workers. The op tag `dagster-ray/config` is its own share of a node. Takes the same run "
            "config as `ingest`.",
        )
    ]


def _variables(settings: Settings) -> list[str]:
    """What a step needs to know before it finds its settings. Everybody who sees the cluster sees these: no secret.

    Keys and the address of a database with its password are in the environment that a node was started with. To a job
    Ray itself says where its cluster is.
    """
    workers = settings.workers.model_copy(update={"address": "auto"})
    path = f"{Path(sys.executable).parent}:${{PATH}}"  # Ray completes it: jobs call `dagster` by its name
    told = {
        "PATH": path,
        "AEGIS_HOME": settings.home,
        "AEGIS_ROOT": settings.root,
        "AEGIS_WORKERS": workers.model_dump_json(),
    }
    if config_file().is_file():
        told["AEGIS_CONFIG"] = config_file().absolute()
    return [f"{name}={value}" for name, value in told.items() if value is not None]
