"""The Docker engine: how it is reached, what its errors mean, and which of its containers are ours."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import dagster as dg
import docker
from dagster._time import get_current_timestamp
from docker.errors import DockerException, NotFound
from requests.exceptions import RequestException

from aegis_dagster.defs.runs import OVER
from aegis_dagster.domain.markdown import unlinked
from aegis_dagster.domain.visible import visible_lines
from aegis_dagster.environment import docker_host
from aegis_dagster.errors import AegisError, ConfigurationError, ServiceError

_ANSWER_SECONDS = 30  # a container whose image is there is created in less than one
_LOGS_SECONDS = 60
_LAST_LINES, _LAST_CHARACTERS = 20, 3_000

INSTANCE, RUN, JOB, STEP = "aegis/instance", "dagster/run_id", "dagster/job_name", "dagster/step_key"

# What an error says, what it is, and the remedy. The first that fits holds.
_MEANINGS: tuple[tuple[str, type[AegisError], str, str], ...] = (
    (
        r"PermissionError\(|permission denied while trying to connect",
        ConfigurationError,
        "This user may not use the Docker engine at {host}.",
        "add the user to the group `docker`, which is as mighty as root, and log in again; or set DOCKER_HOST to the "
        "socket of an engine without root.",
    ),
    (
        r"FileNotFoundError\(|ConnectionRefusedError\(|NewConnectionError|NameResolutionError|ConnectionResetError\("
        r"|RemoteDisconnected|BrokenPipeError\(|Error while fetching server API version",
        ServiceError,
        "The Docker engine at {host} cannot be reached.",
        "start it (`systemctl start docker`), or correct DOCKER_HOST.",
    ),
    (
        r"timed? ?out",
        ServiceError,
        "The Docker engine at {host} does not answer.",
        "look what holds it up, e.g. a full disk.",
    ),
    (
        r"no space left on device",
        ServiceError,
        "The disk of the Docker engine is full.",
        "free space below its folder, e.g. by `docker system prune`.",
    ),
    (
        r"could not select device driver|unresolvable CDI devices|nvidia-container-(cli|runtime)|unknown device",
        ConfigurationError,
        "The Docker engine at {host} cannot give a container a GPU: {said}",
        "on the engine's machine install NVIDIA's driver (`nvidia-smi` must list the card) and the package "
        "nvidia-container-toolkit, run `nvidia-ctk runtime configure --runtime=docker` and restart the engine; or set "
        "`containers.gpus` to 0 to work on the CPU.",
    ),
    (
        r"bind source path does not exist|no such volume|invalid mount config|invalid volume spec|is not shared",
        ConfigurationError,
        "A folder or volume of the container is not there: {said}",
        "make it on the engine's machine, or correct `volumes` or `mounts` in container_kwargs. Home, root and "
        "settings must be at the same paths there.",
    ),
    (
        r"network \S+ (not found|is not)|could not find network|no such network",
        ConfigurationError,
        "A network of the container is not there: {said}",
        "create it (`docker network create NAME`), or correct `containers.networks`.",
    ),
    (
        r"executable file not found",
        ConfigurationError,
        "The image {image} has no program `dagster`: {said}",
        "install aegis_dagster into the image, so that `docker run --rm IMAGE dagster --version` works.",
    ),
    (
        r"no such image|pull access denied|manifest (for \S+ not found|unknown)|repository does not exist"
        r"|failed to resolve reference|Get \"?https?://|invalid reference format",
        ConfigurationError,
        "The image {image} is not on the Docker engine and cannot be pulled: {said}",
        "build or pull it there, correct `containers.image`, or log in to its registry (`docker login`).",
    ),
)


def open_engine() -> Any:
    """A client of the engine that DOCKER_HOST names. Raises AegisError when it cannot be used."""
    with engine_errors():
        return docker.from_env(timeout=_ANSWER_SECONDS)


@contextmanager
def engine_errors(image: str = "") -> Iterator[None]:
    """Raises AegisError with a remedy for what the engine or its client raises."""
    try:
        yield
    except (DockerException, RequestException) as error:
        raise meaning(error, image) from error


def meaning(error: Exception, image: str = "") -> AegisError:
    """What an error of the engine says to people."""
    said = " ".join(str(getattr(error, "explanation", None) or error).split())[:500].rstrip(".") + "."
    for pattern, kind, message, remedy in _MEANINGS:
        if re.search(pattern, f"{error!r} {error}", re.IGNORECASE):
            return kind(message.format(host=docker_host(), image=image, said=said), remedy=remedy)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, RequestException) and (status is None or status >= 500):
        remedy = "look at the engine's log, e.g. by `journalctl -u docker`."
        return ServiceError(f"The Docker engine at {docker_host()} failed: {said}", remedy=remedy)
    remedy = "correct `containers` in the settings, the run's config, or the tags of the step."
    return ConfigurationError(f"The Docker engine or its client refused the container: {said}", remedy=remedy)


def created(client: Any, image: str, options: dict[str, Any]) -> Any:
    """A new container that has not been started. Raises ImageNotFound; ConfigurationError for unknown options."""
    try:
        return client.containers.create(image, **options)
    except (TypeError, ValueError, AttributeError) as error:  # docker-py's, of what it cannot send
        raise ConfigurationError(
            f"The Docker client refuses an option of container_kwargs: {error}.",
            remedy="correct it; the options are those of docker-py's `containers.create`.",
        ) from error


def pull(client: Any, image: str, registry: Mapping[str, str] | None) -> None:
    """Have the engine fetch an image. registry: of dagster-docker's config, with who asks; else as `docker login`."""
    if registry is not None:
        client.login(registry["username"], registry["password"], registry=registry["url"])
    client.images.pull(image)


def labels(instance: dg.DagsterInstance, run: dg.DagsterRun, step: str | None = None) -> dict[str, str]:
    """By which the containers of a run are found again."""
    of_step = {} if step is None else {STEP: step}
    return {INSTANCE: _id_of(instance), RUN: run.run_id, JOB: run.job_name, **of_step}


def containers_of(client: Any, instance: dg.DagsterInstance, run_id: str | None = None) -> list[Any]:
    """The containers of this Dagster instance's runs, or of one run, also those that have ended."""
    wanted = [f"{INSTANCE}={_id_of(instance)}", *([f"{RUN}={run_id}"] if run_id else [])]
    found: list[Any] = client.containers.list(all=True, filters={"label": wanted}, ignore_removed=True)
    return found


def remove(container: Any) -> None:
    """End a container and remove it with its anonymous volumes; one that is gone already is right."""
    with suppress(NotFound):
        container.remove(force=True, v=True)


def remove_left_behind(client: Any, instance: dg.DagsterInstance) -> list[str]:
    """Remove the containers of runs that are over: what ran them was killed, or could not reach the engine.

    Returns the names of the hosts that they were. Raises AegisError.
    """
    removed = []
    with engine_errors():
        for container in containers_of(client, instance):
            if _is_over(container, instance):
                remove(container)
                removed.append(host_of(container))
    return removed


def _is_over(container: Any, instance: dg.DagsterInstance) -> bool:
    record = instance.get_run_record_by_id(container.labels[RUN])
    if record is None:
        return True
    # A whole run in a container reports its end, and then still writes its logs.
    settled = get_current_timestamp() - (record.end_time or 0) > _LOGS_SECONDS
    return record.dagster_run.status in OVER and (STEP in container.labels or not is_at_work(container) or settled)


def is_at_work(container: Any) -> bool:
    """Whether it has not ended."""
    return container.status not in ("exited", "dead")


def host_of(container: Any) -> str:
    """The name that the container has for itself."""
    return str(container.attrs["Config"]["Hostname"])


def _id_of(instance: dg.DagsterInstance) -> str:
    """Of the storage of runs: a container of an unknown run of another instance is none of ours."""
    storage: Any = instance.run_storage
    return str(storage.get_run_storage_id())


def last_lines(container: Any) -> str:
    """The end of what a container printed, without what a terminal or Dagster's pages would obey."""
    with suppress(DockerException, RequestException):
        said = container.logs(tail=_LAST_LINES).decode("utf-8", "replace").strip()[-_LAST_CHARACTERS:]
        return unlinked(visible_lines(said))
    return ""


def without_entry_point(command: Sequence[str]) -> list[str]:
    """Dagster's command for a run or step, by the `dagster` of the image: the interpreter it names is this host's."""
    return ["dagster", *command[command.index("api") :]]
