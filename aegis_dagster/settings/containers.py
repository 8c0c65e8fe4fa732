"""The section `containers` of the settings: steps of a run in containers of a Docker engine."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from aegis_dagster.domain.stages import Stage
from aegis_dagster.settings.section import Section

# What the executor decides: who a container belongs to, what it runs, and that it stays until its end was read.
_OURS = {"auto_remove", "command", "detach", "entrypoint", "hostname", "labels", "name", "stop_signal"}
_ELSEWHERE = {"image": "image", "environment": "environment", "network": "networks", "networks": "networks"}


def refuse_reserved(kwargs: Mapping[str, Any]) -> None:
    """Raises ValueError if the options of containers name one that is not theirs."""
    for name in kwargs:
        if name in _ELSEWHERE:
            raise ValueError(f"`{name}` stands in the setting containers.{_ELSEWHERE[name]}, not in container_kwargs")
        if name in _OURS:
            raise ValueError(f"`{name}` in container_kwargs is set by the executor itself")


def _checked(kwargs: dict[str, Any]) -> dict[str, Any]:
    refuse_reserved(kwargs)
    return kwargs


Image = Annotated[str, StringConstraints(min_length=1, pattern=r"^\S+$")]
ContainerKwargs = Annotated[dict[str, Any], AfterValidator(_checked)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

GPU_STAGES = frozenset({Stage.PARSE, Stage.ENRICH, Stage.EMBED})  # those with models that a card computes


class StepContainer(Section):
    """What the containers of one stage have in the place of what all have."""

    image: Image | None = Field(default=None, description="Its image.")
    gpus: int | None = Field(default=None, ge=0, description="Its GPUs; 0: none.")
    container_kwargs: ContainerKwargs = Field(
        default_factory=dict, description="Its options; each replaces the one of all steps with the same name."
    )


class ContainerSettings(Section):
    """Steps in containers of a Docker engine: the job `ingest_in_containers`, and whole runs."""

    image: Image | None = Field(
        default=None,
        description="Image of the steps, with aegis_dagster in the version of this one; None: there is no job `ingest_in_containers`.",
    )
    gpus: int = Field(
        default=1,
        ge=0,
        description="GPUs for each step of parse, enrich and embed; chunk, graph and checks get none. 0: none at all.",
    )
    networks: tuple[str, ...] = Field(
        default=(), description="Networks of the engine that containers join, e.g. `host`; none: the engine's default."
    )
    container_kwargs: ContainerKwargs = Field(
        default_factory=dict,
        description='Options of docker-py\'s `containers.create` for all steps, e.g. `{"mem_limit": "8g", "volumes": ["/data:/data:ro"]}`.',
    )
    environment: tuple[VariableName, ...] = Field(
        default=(),
        description="Names of more variables that every step gets. The settings, and the keys that a step needs, are given without this.",
    )
    steps: dict[Stage, StepContainer] = Field(
        default_factory=dict, description="What one stage has instead, by `parse`, `enrich`, `chunk`, `embed`, `graph`."
    )
    max_at_once: int = Field(default=2, ge=1, description="Most containers of one run at a time.")
    seconds_before_retry: float = Field(
        default=10.0,
        ge=0,
        description="How long a step waits for another container when its own was killed, or the engine does not answer; three and nine times as long before the second and third retry.",
    )

    def gpus_of(self, stage: Stage) -> int:
        """The GPUs of a stage's containers."""
        step = self.steps.get(stage)
        if step is not None and step.gpus is not None:
            return step.gpus
        return self.gpus if stage in GPU_STAGES else 0
