"""Imports LightRAG as a library, without its side effects.

By default, LightRAG installs packages while it runs (pipmaster), loads `.env` of the working directory into the
process, and logs pieces of documents to the terminal. `lightrag.llm` is never imported.
"""

import logging
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Any

from aegis_dagster.errors import ConfigurationError

_INSTALLERS = ("install", "ensure_", "uninstall", "async_install", "async_ensure_", "async_uninstall")
# Modules of LightRAG that log names and descriptions, which are pieces of documents.
_TALKATIVE = frozenset({"operate", "utils", "prompt"})

_importing = Lock()


@dataclass(frozen=True, slots=True)
class LightRag:
    """The modules of LightRAG that are used here."""

    constants: ModuleType
    operate: ModuleType
    prompt: ModuleType
    utils: ModuleType


@cache
def lightrag() -> LightRag:
    """Import it, once per process. Raises ConfigurationError if it is not installed."""
    try:
        with _importing:
            _forbid_installing()
            return _imported()
    except ImportError as error:
        raise ConfigurationError(
            f"Reading chunks by a model needs LightRAG's prompt, which cannot be imported ({error.name}).",
            remedy="pip install 'aegis_dagster[ingestion]', or set graph.extractor to statistical.",
        ) from error


def _forbid_installing() -> None:
    pipmaster = import_module("pipmaster")
    for name in dir(pipmaster):
        if name.startswith(_INSTALLERS):
            setattr(pipmaster, name, _refuse)


def _refuse(*_: Any, **__: Any) -> None:
    raise ConfigurationError(
        "LightRAG wanted to install a package while running.",
        remedy="install it beforehand: pip install 'aegis_dagster[ingestion]'.",
    )


def _imported() -> LightRag:
    import dotenv

    loads_env_files = dotenv.load_dotenv
    dotenv.load_dotenv = _loads_nothing  # settings come from our settings alone
    try:
        library = LightRag(*(import_module(f"lightrag.{name}") for name in ("constants", "operate", "prompt", "utils")))
    finally:
        dotenv.load_dotenv = loads_env_files
    logging.getLogger("lightrag").addFilter(_says_nothing_of_documents)
    return library


def _loads_nothing(*_: Any, **__: Any) -> bool:
    return False


def _says_nothing_of_documents(record: logging.LogRecord) -> bool:
    return record.module not in _TALKATIVE
