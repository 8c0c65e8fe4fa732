"""Launches whole runs in containers; for dagster.yaml:

run_launcher:
  module: aegis_dagster.defs.containers.launcher
  class: ContainerRunLauncher
"""

from collections.abc import Sequence
from contextlib import closing
from functools import cached_property
from typing import Any

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.tags import DOCKER_IMAGE_TAG
from dagster_docker import DockerRunLauncher
from dagster_docker.docker_run_launcher import DOCKER_CONTAINER_ID_TAG
from docker.errors import ImageNotFound

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.containers import given
from aegis_dagster.defs.containers.engine import (
    containers_of,
    created,
    engine_errors,
    labels,
    last_lines,
    open_engine,
    pull,
    remove,
    without_entry_point,
)
from aegis_dagster.defs.containers.left_behind import remove_of_runs_that_are_over
from aegis_dagster.defs.containers.placing import keys_of
from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.settings import Settings, load_settings


class ContainerRunLauncher(DockerRunLauncher):
    """dagster-docker's launcher with the image, folders and variables of the settings; it removes what is over.

    Its config, that of DockerRunLauncher, goes before the settings. The containers of steps do not get it: a run that
    starts containers needs the engine's socket, its steps do not.
    """

    @cached_property
    def _settings(self) -> Settings:
        return load_settings()

    @property
    def _all_networks(self) -> Sequence[str]:
        return self.networks or self._settings.containers.networks

    def _get_docker_image(self, job_code_origin: Any) -> str:
        image = self.image or job_code_origin.repository_origin.container_image or self._settings.containers.image
        if not image:
            raise ConfigurationError("No image is set for runs.", remedy="set AEGIS_CONTAINERS__IMAGE.")
        return str(image)

    def _get_client(self, container_context: Any) -> Any:
        return open_engine()

    def _launch_container_with_command(self, run: dg.DagsterRun, docker_image: str, command: Sequence[str]) -> None:
        """Raises AegisError, which Dagster records as the reason why the run failed."""
        instance, options = self._instance, self._options(run, command)
        with closing(Project(self._settings)) as project:
            remove_of_runs_that_are_over(instance, project)
        with closing(open_engine()) as client, engine_errors(docker_image):
            try:
                container = created(client, docker_image, options)
            except ImageNotFound:
                pull(client, docker_image, self.registry)
                container = created(client, docker_image, options)
            instance.add_run_tags(run.run_id, {DOCKER_CONTAINER_ID_TAG: container.id, DOCKER_IMAGE_TAG: docker_image})
            instance.report_engine_event(f"Launching run in container {container.name}.", run, cls=type(self))
            try:
                for network in self._all_networks[1:]:
                    client.networks.get(network).connect(container)
                container.start()
            except Exception:
                remove(container)
                raise

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """See RunLauncher; of a container that ended, with its last lines."""
        with closing(open_engine()) as client, engine_errors():
            health: CheckRunHealthResult = super().check_run_worker_health(run)
            found = containers_of(client, self._instance, run.run_id)
            container = next((one for one in found if one.id == run.tags.get(DOCKER_CONTAINER_ID_TAG)), None)
            if container is None or health.status is not WorkerStatus.FAILED:
                return health
            said = f"The container of the run ended. Its last lines:\n{last_lines(container)}"
            return CheckRunHealthResult(WorkerStatus.FAILED, msg=f"{health.msg} {said}")

    def _options(self, run: dg.DagsterRun, command: Sequence[str]) -> dict[str, Any]:
        settings, instance = self._settings, self._instance
        kwargs = {**settings.containers.container_kwargs, **self.container_kwargs}
        kwargs.pop("stop_timeout", None)
        names = {name for stage in Stage for name in keys_of(settings, stage)} | set(self.env_vars or [])
        networks = self._all_networks
        return {
            **given.defaults(),
            **kwargs,
            "mounts": [*given.mounts(settings, instance), *kwargs.get("mounts", [])],
            "detach": True,
            "command": without_entry_point(command),
            "environment": given.environment(settings, instance, names) | {"DAGSTER_RUN_JOB_NAME": run.job_name},
            "labels": labels(instance, run),
            **({"network": networks[0]} if networks else {}),
        }
