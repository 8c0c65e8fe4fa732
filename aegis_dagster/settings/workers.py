"""Settings of the workers: on this machine, or on the nodes of a Ray cluster."""

from typing import Literal

from pydantic import Field

from aegis_dagster.settings.section import Section


class ShareSettings(Section):
    """What a seat on a Ray node takes of it. Tasks with equal shares use the same seats."""

    num_cpus: float = Field(default=1.0, ge=0, description="CPUs.")
    num_gpus: float = Field(
        default=0.0, ge=0, description="GPUs; a fraction shares a card, e.g. 0.25 among four seats."
    )
    memory_mb: int | None = Field(
        default=None, ge=0, description="Megabytes of memory. Default: `parse.memory_mb`, the limit of a worker."
    )


class WorkerSettings(Section):
    """Where workers run. `parse.workers`, `parse.memory_mb` and the time limits of stages hold for both engines."""

    engine: Literal["local", "ray"] = Field(
        default="local",
        description="`local`: processes on this machine, as many as `parse.workers`. `ray`: seats on the nodes of a Ray cluster, each with one such process (the extra `ray`; docs/guides/RAY.md).",
    )
    address: str = Field(
        default="auto",
        min_length=1,
        description="The Ray cluster, `HOST:PORT` of its head. This process must run on one of its machines. `auto`: `RAY_ADDRESS`, or the cluster of this machine. Beyond loopback RAY_AUTH_MODE=token is required, with the token in RAY_AUTH_TOKEN or the file that RAY_AUTH_TOKEN_PATH names.",
    )
    seats: int = Field(
        default=16,
        ge=1,
        description="Most seats of a run, and most documents that it works on at the same time. There are as many of them as the cluster has room for at the moment.",
    )
    waiting_seconds: float = Field(
        default=300.0,
        gt=0,
        description="How long a run waits while the cluster has room for none of its seats; then its step fails.",
    )
    parse: ShareSettings = Field(default=ShareSettings(), description="A seat that parses.")
    chunk: ShareSettings = Field(default=ShareSettings(), description="A seat that cuts documents into passages.")
    pictures: ShareSettings = Field(default=ShareSettings(), description="A seat that measures pictures.")
    ocr: ShareSettings = Field(default=ShareSettings(), description="A seat that reads the text in pictures.")
    embed: ShareSettings | None = Field(
        default=None,
        description="A seat that embeds with MiniLM. Default: none, the process that drives the run embeds.",
    )
