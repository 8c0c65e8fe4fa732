"""What every container of a run is given: variables and folders, so that the home looks the same in it."""

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import dagster as dg
from docker.types import Mount

from aegis_dagster.defs.containers.placing import all_keys
from aegis_dagster.embedding.model_files import model_dir
from aegis_dagster.environment import variables_that
from aegis_dagster.settings import Settings, config_file

_WITHHELD = "withheld-from-this-container"
_ENV_IN_DAGSTER_YAML = re.compile(r"^[^#\n]*\benv:\s*[\"']?(\w+)", re.MULTILINE)


def environment(settings: Settings, instance: dg.DagsterInstance, keys: Collection[str]) -> dict[str, str]:
    """The variables of a container: settings, what dagster.yaml refers to, and the keys that its step calls with.

    The other keys are replaced by a word: whether a provider can be used decides which model is chosen, and a step
    compares that with what others have chosen.
    """
    addresses = {provider.base_url_variable for provider in settings.llm.providers.values()}
    families = _families(settings)

    def is_wanted(name: str) -> bool:
        setting = name.upper().removeprefix("AEGIS_").partition("__")[0].lower()
        ours = name.upper().startswith("AEGIS_") and setting in Settings.model_fields
        more = {*settings.containers.environment, *_names_in(instance), *_of_stores(settings), *addresses, *keys}
        return ours or name in more or name.startswith(families)

    withheld = variables_that(lambda name: name in all_keys(settings) and name not in keys)
    return {
        **dict.fromkeys(withheld, _WITHHELD),
        **variables_that(is_wanted),
        "AEGIS_HOME": str(settings.home),
        **({"AEGIS_ROOT": str(settings.root)} if settings.root else {}),
        **({"AEGIS_CONFIG": str(config_file().absolute())} if config_file().is_file() else {}),
        "AEGIS_MODEL_CACHE": str(model_dir(settings.model_cache).parent),
        "DAGSTER_HOME": instance.root_directory,
        "HOME": "/tmp",  # the user of this process need not have one there
    }


def _of_stores(settings: Settings) -> set[str]:
    """Every step opens the stores, and the first also removes what was deleted from them."""
    return {"AEGIS_QDRANT_API_KEY"} if settings.qdrant.kind == "server" else set()


def _families(settings: Settings) -> tuple[str, ...]:
    """What the names of variables begin with that belong to buckets, and to a Ray cluster."""
    buckets = isinstance(settings.root, str) or settings.artifacts.url is not None
    return (
        "FSSPEC_",
        *(("AWS_",) if buckets else ()),
        *(("RAY_AUTH_", "RAY_ADDRESS") if settings.workers.engine == "ray" else ()),
    )


def mounts(settings: Settings, instance: dg.DagsterInstance) -> list[Mount]:
    """The folders of this home, each at its own path."""
    models = model_dir(settings.model_cache).parent
    models.mkdir(parents=True, exist_ok=True)
    written = [settings.home, Path(instance.root_directory), models]
    read = [path for path in (settings.root, settings.parse.docling_models) if isinstance(path, Path)]
    read += [config_file().absolute()] if config_file().is_file() else []
    made = [_mount(path, read_only=False) for path in _outermost(written)]
    return made + [_mount(path, read_only=True) for path in _outermost(read) if not _below_any(path, written)]


def defaults() -> dict[str, Any]:
    """Options that container_kwargs may replace: files of the home stay this user's, and signals are obeyed."""
    return {"user": f"{os.getuid()}:{os.getgid()}", "init": True}


def _mount(path: Path, *, read_only: bool) -> Mount:
    return Mount(str(path), str(path), type="bind", read_only=read_only)


def _outermost(paths: Collection[Path]) -> list[Path]:
    kept: list[Path] = []
    for path in sorted(set(paths), key=lambda one: len(one.parts)):
        if not _below_any(path, kept):
            kept.append(path)
    return kept


def _below_any(path: Path, folders: Collection[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _names_in(instance: dg.DagsterInstance) -> set[str]:
    """The variables that dagster.yaml refers to, such as the password of Dagster's storage."""
    file = Path(instance.root_directory) / "dagster.yaml"
    return set(_ENV_IN_DAGSTER_YAML.findall(file.read_text("utf-8"))) if file.is_file() else set()
