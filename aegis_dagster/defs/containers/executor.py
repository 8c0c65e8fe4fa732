"""The executor whose steps are containers."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.definitions.executor_definition import multiple_process_executor_requirements
from dagster._core.events import DagsterEvent
from dagster._core.execution import retries as of_retries
from dagster._core.execution import tags as of_tags
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.step_delegating import StepDelegatingExecutor
from dagster_docker.container_context import DockerContainerContext
from dagster_docker.utils import DOCKER_CONFIG_SCHEMA

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.containers.left_behind import remove_of_runs_that_are_over
from aegis_dagster.defs.containers.placing import EXECUTOR
from aegis_dagster.defs.containers.step_handler import ContainerStepHandler
from aegis_dagster.settings import Settings

_LOOK_SECONDS = 2  # at containers that have ended; it costs one request of a local socket for each step at work
_SCHEMA: dict[str, Any] = {
    **DOCKER_CONFIG_SCHEMA,
    "retries": vars(of_retries)["get_retries_config"](),
    "max_concurrent": dg.Field(dg.IntSource, is_required=False, description="Most containers of the run at a time."),
    "tag_concurrency_limits": vars(of_tags)["get_tag_concurrency_limits_config"](),
}


def container_executor(settings: Settings) -> dg.ExecutorDefinition:
    """The executor under these settings; the run's config goes before them, the tags of a step before both."""

    @dg.executor(name=EXECUTOR, config_schema=_SCHEMA, requirements=multiple_process_executor_requirements())
    def containers(context: dg.InitExecutorContext) -> "ContainerExecutor":
        return ContainerExecutor(settings, context.executor_config)

    return containers


class ContainerExecutor(StepDelegatingExecutor):
    """Runs steps as containers, and leaves none behind."""

    def __init__(self, settings: Settings, config: Any) -> None:
        retries = RetryMode.from_config(config["retries"])
        networks = config.get("networks") or ([config["network"]] if config.get("network") else [])
        asked = DockerContainerContext(
            registry=config.get("registry"),
            env_vars=config.get("env_vars", []),
            networks=networks,
            container_kwargs=config.get("container_kwargs", {}),
        )
        self._project = Project(settings)
        may_retry = retries is not None and not retries.disabled
        self._containers = ContainerStepHandler(
            settings, config.get("image"), asked, self._release, may_retry=may_retry
        )
        super().__init__(
            self._containers,
            retries=retries or RetryMode.ENABLED,
            check_step_health_interval_seconds=_LOOK_SECONDS,
            max_concurrent=config.get("max_concurrent") or settings.containers.max_at_once,
            tag_concurrency_limits=config.get("tag_concurrency_limits"),
        )

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        """See Executor."""
        instance, run_id = plan_context.instance, plan_context.run_id
        remove_of_runs_that_are_over(instance, self._project)
        over: set[str] = set()
        try:
            for event in super().execute(plan_context, execution_plan):
                if (event.is_step_success or event.is_step_failure) and event.step_key:
                    over.add(event.step_key)
                    self._containers.remove_ended(instance, run_id, over)
                yield event
        finally:
            self._containers.clean_up(instance, run_id, resumes=instance.run_will_resume(run_id))
            self._project.close()

    def _release(self, host: str) -> None:
        self._project.catalog.release_container(host)
