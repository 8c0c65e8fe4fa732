"""Launches each step of a run in a container of its own, and tells how it ended.

It is dagster-docker's step handler, with what that lacks: a configuration for each step, errors with a remedy, a step
that fails as soon as its container has ended without a report, and no container left when a run is over.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEvent, EngineEventData
from dagster._core.executor.step_delegating import CheckStepHealthResult
from dagster._core.executor.step_delegating.step_handler.base import StepHandlerContext
from dagster_docker.container_context import DockerContainerContext
from dagster_docker.docker_executor import DockerStepHandler
from dagster_shared.record import copy
from docker.errors import ImageNotFound, NotFound
from requests.exceptions import RequestException

from aegis_dagster.defs.containers import given
from aegis_dagster.defs.containers.endings import has_reported, report, why_silent
from aegis_dagster.defs.containers.engine import (
    STEP,
    containers_of,
    created,
    engine_errors,
    host_of,
    is_at_work,
    labels,
    open_engine,
    pull,
    remove,
    without_entry_point,
)
from aegis_dagster.defs.containers.placing import IMAGE, KWARGS, VARIABLES
from aegis_dagster.errors import AegisError, ConfigurationError, ServiceError
from aegis_dagster.settings import Settings
from aegis_dagster.settings.containers import refuse_reserved

_PATIENCE_SECONDS = 120.0  # an engine that does not answer for so long has lost the container
_END_SECONDS = 10


class ContainerStepHandler(DockerStepHandler):
    """Steps as containers. One object serves one run."""

    def __init__(
        self,
        settings: Settings,
        image: str | None,
        context: DockerContainerContext,
        gone: Callable[[str], None],
        *,
        may_retry: bool,
    ) -> None:
        """image, context: of the run's config, for all its steps. gone: told the host that a container was."""
        super().__init__(image, context)
        self._settings, self._gone, self._may_retry = settings, gone, may_retry
        self._engine: Any = None
        self._silent_since: float | None = None  # by the monotonic clock

    @property
    def name(self) -> str:
        """See StepHandler."""
        return "ContainerStepHandler"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Start the step's container. A step that cannot be launched fails, or is tried again; the others go on."""
        try:
            yield from self._launch(step_handler_context)
        except AegisError as error:
            self._end(step_handler_context, error)

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Tell Dagster the end of a container that did not tell it itself: so no step ever counts as unhealthy."""
        problem = self._problem(step_handler_context)
        if problem is not None and not has_reported(step_handler_context, self._get_step_key(step_handler_context)):
            self._end(step_handler_context, problem)
        return CheckStepHealthResult.healthy()

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """End the step's container: it is asked first, so that it can give back what it has claimed."""
        context = self._get_docker_container_context(step_handler_context)
        seconds = context.container_kwargs.get("stop_timeout", _END_SECONDS)
        yield DagsterEvent.engine_event(
            step_handler_context.get_step_context(self._get_step_key(step_handler_context)),
            "Ending the Docker container of the step.",
            EngineEventData(),
        )
        with suppress(AegisError), engine_errors():  # see `clean_up`
            container = self._container(step_handler_context)
            if container is not None and is_at_work(container):
                with suppress(NotFound):
                    container.kill("SIGTERM")
                self._remove(container, after=seconds)

    def clean_up(self, instance: dg.DagsterInstance, run_id: str, *, resumes: bool) -> None:
        """Remove the containers of a run that is over. resumes: those at work stay, for the process that goes on.

        Where the engine does not answer now, the sensor `page_on_change` or the next run removes them.
        """
        with suppress(AegisError), engine_errors():
            for container in containers_of(self._client(), instance, run_id):
                if not (resumes and is_at_work(container)):
                    self._remove(container, after=_END_SECONDS)
        if self._engine is not None:
            self._engine.close()

    def remove_ended(self, instance: dg.DagsterInstance, run_id: str, steps: Collection[str]) -> None:
        """Remove the containers of steps that are over, as far as these have ended, too."""
        with suppress(AegisError), engine_errors():
            for container in containers_of(self._client(), instance, run_id):
                if container.labels.get(STEP) in steps and not is_at_work(container):
                    self._remove(container)

    def _launch(self, context: StepHandlerContext) -> Iterator[DagsterEvent]:
        step_context = context.get_step_context(self._get_step_key(context))
        asked, image, client = self._get_docker_container_context(context), self._get_image(context), self._client()
        with engine_errors(image):
            left = self._container(context)
            if left is not None:  # by a process that ran this step before
                self._remove(left)
            options = self._options(context, asked)
            try:
                container = created(client, image, options)
            except ImageNotFound:
                DagsterEvent.engine_event(step_context, f"Pulling the image {image}.", EngineEventData())
                pull(client, image, asked.registry)
                container = created(client, image, options)
            for network in asked.networks[1:]:
                client.networks.get(network).connect(container)
            told = {"Docker container": container.name, "image": image}
            yield DagsterEvent.step_worker_starting(step_context, "Launching step in Docker container.", told)
            container.start()

    def _options(self, context: StepHandlerContext, asked: DockerContainerContext) -> dict[str, Any]:
        """How a step's container is created."""
        name, step = self._get_container_name(context), self._get_step_key(context)
        kwargs, arguments, instance = dict(asked.container_kwargs), context.execute_step_args, context.instance
        kwargs.pop("stop_timeout", None)
        if (Path(instance.root_directory) / "dagster.yaml").is_file():
            # Whoever may use the engine can read a command. The container reads the file itself.
            arguments = copy(arguments, instance_ref=None)
        variables = given.environment(self._settings, instance, asked.env_vars)
        return {
            **given.defaults(),
            **kwargs,
            "mounts": [*given.mounts(self._settings, instance), *kwargs.get("mounts", [])],
            "name": name,
            "hostname": name,
            "detach": True,
            "stop_signal": "SIGKILL",  # if the engine is stopped, the step is begun again and does not report a failure
            "command": without_entry_point(arguments.get_command_args()),
            "environment": {
                **variables,
                "DAGSTER_RUN_JOB_NAME": context.dagster_run.job_name,
                "DAGSTER_RUN_STEP_KEY": step,
            },
            "labels": labels(instance, context.dagster_run, step),
            **({"network": asked.networks[0]} if asked.networks else {}),
        }

    def _problem(self, context: StepHandlerContext) -> AegisError | None:
        """What is wrong with the step's container; None: it is at work, or the engine is waited for."""
        try:
            with engine_errors():
                container = self._container(context)
        except AegisError as error:
            return self._out_of_patience(context, error)
        self._silent_since = None
        if container is None:
            return ServiceError(
                "The container of the step was removed before its step had ended.",
                remedy="look who removes containers, e.g. `docker container prune`.",
            )
        return None if is_at_work(container) else why_silent(context, self._get_step_key(context), container)

    def _out_of_patience(self, context: StepHandlerContext, error: AegisError) -> AegisError | None:
        """The error of an engine that does not answer, once it has been waited for: steps go on without it."""
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
            message = f"{error} The step is waited for meanwhile, for {_PATIENCE_SECONDS:.0f} s."
            step_context = context.get_step_context(self._get_step_key(context))
            DagsterEvent.engine_event(step_context, message, EngineEventData())
        return error if now - self._silent_since > _PATIENCE_SECONDS else None

    def _end(self, context: StepHandlerContext, error: AegisError) -> None:
        with suppress(AegisError), engine_errors():
            container = self._container(context)
            if container is not None:
                self._remove(container)
        seconds = self._settings.containers.seconds_before_retry
        report(context, self._get_step_key(context), error, seconds=seconds, may_retry=self._may_retry)

    def _remove(self, container: Any, *, after: float = 0) -> None:
        """Remove a container, and release what it held. after: seconds in which it may end by itself."""
        if after and is_at_work(container):
            with suppress(NotFound, RequestException):
                container.wait(timeout=after)
        remove(container)
        with suppress(AegisError):  # what it claimed is free again when the lease expires
            self._gone(host_of(container))

    def _container(self, context: StepHandlerContext) -> Any:
        try:
            return self._client().containers.get(self._get_container_name(context))
        except NotFound:
            return None

    def _client(self) -> Any:
        if self._engine is None:
            self._engine = open_engine()
        return self._engine

    def _get_image(self, step_handler_context: StepHandlerContext) -> str:
        of_step = step_handler_context.step_tags[self._get_step_key(step_handler_context)].get(IMAGE)
        image = of_step or self._image or self._settings.containers.image
        if not image:
            raise ConfigurationError("No image is set for containers.", remedy="set AEGIS_CONTAINERS__IMAGE.")
        return image

    def _get_docker_container_context(self, step_handler_context: StepHandlerContext) -> DockerContainerContext:
        """Of the settings, the run's config, and the step's tags: each replaces what those before it say."""
        tags = step_handler_context.step_tags[self._get_step_key(step_handler_context)]
        settings = self._settings.containers
        kwargs, names = _read(tags, KWARGS, dict), _read(tags, VARIABLES, list)
        of_run = DockerContainerContext.create_for_run(step_handler_context.dagster_run, None)
        own = of_run.merge(self._container_context)
        context = DockerContainerContext(
            registry=own.registry,
            env_vars=[*own.env_vars, *names],
            networks=own.networks or settings.networks,
            container_kwargs={**settings.container_kwargs, **own.container_kwargs, **kwargs},
        )
        try:
            refuse_reserved(context.container_kwargs)
        except ValueError as error:
            raise ConfigurationError(f"{error}.", remedy=f"correct the tag {KWARGS} or the run's config.") from error
        return context


def _read(tags: Any, name: str, kind: type[Any]) -> Any:
    """A tag's value. Raises ConfigurationError."""
    if name not in tags:
        return kind()
    try:
        value = json.loads(tags[name])
    except ValueError:
        value = None
    if not isinstance(value, kind):
        expected = "a table" if kind is dict else "a list of names"
        raise ConfigurationError(f"The tag {name} of the step is not {expected} in JSON.", remedy="correct the tag.")
    return value
