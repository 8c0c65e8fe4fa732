"""Running the Dagster job in this process, recorded in the home's Dagster instance.

Belongs here: instance, partition, run config, what failed. Imported late: dagster takes over a second.
Does not belong here: deciding what to run (`ingesting.py`).
"""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import dagster as dg
from filelock import FileLock

from aegis_dagster.composition import Project
from aegis_dagster.definitions import build_definitions
from aegis_dagster.defs.config import collections
from aegis_dagster.defs.resources import ProjectResource, RunObserver, observed_by
from aegis_dagster.domain.identifiers import CollectionName

_OPENING_SECONDS = 60.0  # opening takes one or two

_PARSE, *_LATER = ("parsed_documents", "enriched_images", "chunks", "embeddings", "knowledge_graph")


def run_collection(
    project: Project, collection: CollectionName, patterns: Sequence[str], observer: RunObserver
) -> str | None:
    """Bring one collection up to date; only documents that match `patterns`, if any are given.

    Returns None, or why the run failed.
    """
    job = build_definitions(ProjectResource(home=str(project.settings.home))).resolve_job_def("ingest")
    home = project.settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    ops: dict[str, dict[str, dict[str, Any]]] = {name: {"config": {"documents": list(patterns)}} for name in _LATER}
    ops[_PARSE] = {"config": {"documents": list(patterns), "scan_root": False}}
    with ExitStack() as open_until_the_end:
        open_until_the_end.enter_context(observed_by(observer))
        # Two processes that make the tables of a new instance at once stumble over each other.
        with FileLock(home / "opening.lock", timeout=_OPENING_SECONDS):
            put_dagster_yaml(home)
            instance = open_until_the_end.enter_context(dg.DagsterInstance.from_config(str(home)))
            instance.add_dynamic_partitions(str(collections.name), [collection])
        result = job.execute_in_process(
            instance=instance,
            partition_key=collection,
            run_config={"ops": ops, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
    if result.success:
        return None
    failures = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    failures += [event.job_failure_data.error for event in result.all_events if event.is_job_failure]
    for error in failures:
        if error is not None:
            return (error.cause or error).message.strip()
    return "the run did not start"


def put_dagster_yaml(home: Path) -> None:
    """Put the project's dagster.yaml into the folder of a Dagster instance; an existing file stays as it is."""
    if not (home / "dagster.yaml").exists():
        with as_file(files("aegis_dagster.defs") / "dagster.yaml") as file:
            shutil.copyfile(file, home / "dagster.yaml")
