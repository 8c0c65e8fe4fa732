"""What the environment of our processes says: to the libraries in them, and to the Dagster that one becomes."""

import atexit
import gc
import os
from collections.abc import Callable
from pathlib import Path

_NOTHING_CALLS_HOME = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime asks for a host of Microsoft's and keeps a device id in ~/.cache
    "DAGSTER_DISABLE_TELEMETRY": "1",  # also of an instance whose dagster.yaml is not ours
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",  # of every library that asks for it
    "RAY_USAGE_STATS_ENABLED": "0",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_MODE": "PRODUCTION",  # it loads no `.env` of the working directory
}


def keep_libraries_quiet() -> None:
    """Switch off what libraries tell their makers or fetch from them. Called before any of them is imported."""
    os.environ.update(_NOTHING_CALLS_HOME)


def keep_font_list_in(folder: Path) -> None:
    """Where matplotlib keeps its list of fonts, unless somebody chose a place; its default is in the user's home."""
    os.environ.setdefault("MPLCONFIGDIR", str(folder))


def keep_files_private() -> None:
    """Whatever this process and its children write from now on, only its user can read."""
    os.umask(0o077)


def collect_garbage_rarely() -> None:
    """Look for garbage in cycles after 50,000 new objects, not after 700, and not once more when the process ends.

    What a process imports stays until it ends: to look through it again and again takes a tenth of its start, and at
    the end as long as a third of the imports.
    """
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)


def dagster_environment(home: Path, root: str, dagster_home: Path) -> dict[str, str]:
    """The environment for Dagster's processes on this home, wherever they are started."""
    own = {"AEGIS_HOME": str(home), "AEGIS_ROOT": root, "DAGSTER_HOME": str(dagster_home.absolute())}
    return {**os.environ, **own}


def variables_that(are_wanted: Callable[[str], bool]) -> dict[str, str]:
    """The variables of this process whose names are wanted."""
    return {name: value for name, value in os.environ.items() if are_wanted(name)}


def docker_host() -> str:
    """Where the Docker engine listens, as docker's own client reads it."""
    return os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def started_by_ray() -> bool:
    """Whether this process is a job of a Ray cluster, or a child of one."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


# What a worker needs to find its libraries and their models; everything else may be a secret.
_FOR_WORKERS = frozenset(
    {"LANG", "LANGUAGE", "TZ", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}
    | {"CUDA_VISIBLE_DEVICES", "CUDA_HOME", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"}
    | {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX", "DO_NOT_TRACK"}
    | {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TORCH_HOME", "PYTHONDONTWRITEBYTECODE", "PYTHONUTF8"}
)


def worker_environment(folder: Path) -> dict[str, str]:
    """The environment of a worker process: no key, no address, no program to be found.

    folder: its own; what libraries write beside their work goes there.
    """
    kept = {name: value for name, value in os.environ.items() if name in _FOR_WORKERS or name.startswith("LC_")}
    cache = os.environ.get("XDG_CACHE_HOME") or f"{os.environ.get('HOME', '')}/.cache"
    return {
        **kept,
        "HF_HOME": os.environ.get("HF_HOME") or f"{cache}/huggingface",  # the models that docling finds there
        "HF_HUB_OFFLINE": "1",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "ORT_DISABLE_TELEMETRY": "1",
        "PATH": "",  # docling looks for LibreOffice in it
    }


def take_environment(environment: dict[str, str]) -> None:
    """Make this the environment of this process, which was forked."""
    os.environ.clear()
    os.environ.update(environment)


# Of a process of Ray on a node: what its libraries and the workers that it starts need.
_FOR_SEATS = _FOR_WORKERS | {"PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "HF_HOME"}


def forget_secrets() -> None:
    """Keep of this process's environment what a seat needs: a job of Ray may have brought the keys of its driver."""
    kept = {name: value for name, value in os.environ.items() if name in _FOR_SEATS or name.startswith(("LC_", "RAY_"))}
    take_environment(kept)


def prepare_for_ray() -> None:
    """Before ray is imported: it would end this process a minute after the head of its cluster is gone."""
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "86400")


def hides_cards() -> bool:
    """Whether this process is to see no NVIDIA card, whatever the machine has."""
    return os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1", "NoDevFiles")


def ray_address() -> str:
    """The cluster that the environment names; "" if none."""
    return os.environ.get("RAY_ADDRESS", "")


def template_environment() -> dict[str, str]:
    """The environment of the process that workers are forked from: that of a worker, and no library starts a thread."""
    return {
        **worker_environment(Path("/nonexistent")),  # it writes nothing
        "OPENBLAS_NUM_THREADS": "1",  # numpy's
        "JE_ARROW_MALLOC_CONF": "background_thread:false",  # that of the allocator in pyarrow, which pandas loads
    }
