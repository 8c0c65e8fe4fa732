"""Where the steps of the five assets run: op tags for Docker and Kubernetes, and the pool of the GPUs.

Dagster's executors have one configuration for all steps of a run. The step handler beside this module reads the tags
for Docker; dagster-k8s reads its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from aegis_dagster.domain.stages import Stage
from aegis_dagster.settings import Settings
from aegis_dagster.settings.containers import ContainerSettings

IMAGE, KWARGS, VARIABLES = (f"dagster-docker/{name}" for name in ("image", "container_kwargs", "env_vars"))
KUBERNETES = "dagster-k8s/config"
POOL = "gpu"
_PARSE_SERVER = "DOCLING_SERVE_API_KEY"
EXECUTOR = "containers"  # its name


def placed(assets: Sequence[dg.AssetsDefinition], settings: Settings) -> list[dg.AssetsDefinition]:
    """The assets, one for each stage in their order; with containers switched on each knows what its container gets."""
    if settings.containers.image is None:
        return list(assets)
    return [_placed(asset, stage, settings) for asset, stage in zip(assets, Stage, strict=True)]


def _placed(asset: dg.AssetsDefinition, stage: Stage, settings: Settings) -> dg.AssetsDefinition:
    op, gpus = asset.op, settings.containers.gpus_of(stage)
    # Dagster has no public way to add tags to the op of an asset; its version is pinned.
    tagged = dg.OpDefinition(
        compute_fn=op.compute_fn,
        name=op.name,
        ins={one.name: dg.In.from_definition(one) for one in op.input_defs},
        outs={one.name: dg.Out.from_definition(one) for one in op.output_defs},
        config_schema=op.config_schema,
        description=op.description,
        tags={**op.tags, **docker_tags(settings, stage), **kubernetes_tags(settings.containers, stage)},
        required_resource_keys=set(op.required_resource_keys),
        retry_policy=op.retry_policy,
        pool=POOL if gpus else op.pool,
    )
    return dg.AssetsDefinition.dagster_internal_init(**{**asset.get_attributes_dict(), "node_def": tagged})


def docker_tags(settings: Settings, stage: Stage) -> dict[str, Any]:
    """What the step handler reads: image, options and names of variables that only this stage's containers have."""
    containers, gpus = settings.containers, settings.containers.gpus_of(stage)
    step = containers.steps.get(stage)
    kwargs: dict[str, Any] = {"device_requests": device_requests(gpus)} if gpus else {}
    tags: dict[str, Any] = {KWARGS: {**kwargs, **(step.container_kwargs if step else {})}}
    if step is not None and step.image is not None:
        tags[IMAGE] = step.image
    if names := keys_of(settings, stage):
        tags[VARIABLES] = names
    return tags


def device_requests(gpus: int) -> list[Mapping[str, Any]]:
    """How a container asks the engine for GPUs of NVIDIA."""
    return [{"driver": "nvidia", "count": gpus, "capabilities": [["gpu"]]}]


def kubernetes_tags(containers: ContainerSettings, stage: Stage) -> dict[str, Any]:
    """The same for the executor of dagster-k8s."""
    gpus, step = containers.gpus_of(stage), containers.steps.get(stage)
    config: dict[str, Any] = {}
    if step is not None and step.image is not None:
        config["image"] = step.image
    if gpus:
        config["resources"] = {"limits": {"nvidia.com/gpu": str(gpus)}}
    return {KUBERNETES: {"container_config": config}} if config else {}


def all_keys(settings: Settings) -> set[str]:
    """The variables with the keys of all providers of models."""
    return {name for provider in settings.llm.providers.values() if (name := provider.api_key_variable)}


def keys_of(settings: Settings, stage: Stage) -> list[str]:
    """The variables with the keys that a stage calls with."""
    if stage in (Stage.ENRICH, Stage.GRAPH):
        return sorted(all_keys(settings))
    if stage is Stage.PARSE:
        return [_PARSE_SERVER] if settings.parse.route == "serve" else []
    provider = settings.llm.providers.get(settings.embed.model.partition("/")[0])
    needed = stage is Stage.EMBED and "/" in settings.embed.model and provider is not None
    return [provider.api_key_variable] if needed and provider and provider.api_key_variable else []
