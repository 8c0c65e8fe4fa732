"""A run of `ingest_on_ray` in a process of its own, as a launcher starts one.

`python -m aegis_dagster_tests.support.run_on_ray COLLECTION STEP...`; the environment names home and instance.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.execution.api import create_execution_plan, execute_run

from aegis_dagster.cli.dagster_runs import put_dagster_yaml
from aegis_dagster.defs.ingestion.config import collections
from aegis_dagster.defs.jobs import ON_RAY
from aegis_dagster.settings import load_settings


def start_run(
    collection: str, steps: Sequence[str], environment: Mapping[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    """Start it. It ends with status 0 when the run has succeeded."""
    command = [sys.executable, "-m", __name__, collection, *steps]
    with log.open("wb") as said:
        return subprocess.Popen(command, env=dict(environment), stdout=said, stderr=said, cwd="/")


def _run(collection: str, steps: Sequence[str]) -> bool:
    home = Path(os.environ["DAGSTER_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    put_dagster_yaml(home, in_database=load_settings().database_url.startswith("postgresql"))
    location = ReconstructableRepository.for_module("aegis_dagster.definitions", "defs", "/")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_dynamic_partitions(str(collections.name), [collection])
        job = location.get_reconstructable_job(ON_RAY)
        run = instance.create_run_for_job(
            job.get_definition(),
            create_execution_plan(job, tags={"dagster/partition": collection}, step_keys_to_execute=steps),
            tags={"dagster/partition": collection},
            job_code_origin=job.get_python_origin(),
        )
        return execute_run(job, run, instance).success


if __name__ == "__main__":
    sys.exit(0 if _run(sys.argv[1], sys.argv[2:]) else 1)
