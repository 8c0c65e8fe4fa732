"""Removes the containers of runs that are over, whoever was killed before doing it."""

import importlib.util
from contextlib import closing, suppress

import dagster as dg

from aegis_dagster.composition.project import Project
from aegis_dagster.errors import AegisError
from aegis_dagster.settings import Settings


def uses_containers(settings: Settings) -> bool:
    """Whether the settings switch containers on and the extra `docker` is installed."""
    return settings.containers.image is not None and importlib.util.find_spec("dagster_docker") is not None


def remove_of_runs_that_are_over(instance: dg.DagsterInstance, project: Project) -> None:
    """Remove them and release what they had claimed; an engine that does not answer is asked again the next time."""
    if not uses_containers(project.settings):
        return
    from aegis_dagster.defs.containers.engine import open_engine, remove_left_behind

    with suppress(AegisError), closing(open_engine()) as engine:
        for host in remove_left_behind(engine, instance):
            project.catalog.release_container(host)
