"""Tells what is wrong with Dagster's storage: the record of runs, never the truth about documents or money."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from aegis_dagster.errors import AegisError, ConfigurationError, ServiceError
from aegis_dagster.stores.faults import Place, service_error

_STORAGES = ("storage", "run_storage", "event_log_storage", "schedule_storage")  # keys of dagster.yaml
_SETTINGS = (yaml.YAMLError, UnicodeError, dg.DagsterInvalidConfigError)


@contextmanager
def storage_faults_told(home: Path) -> Iterator[None]:
    """Raises ServiceError, or ConfigurationError for a wrong dagster.yaml, for what the instance in a folder raises."""
    try:
        yield
    except AegisError:
        raise
    except _SETTINGS as error:
        raise ConfigurationError(
            f"Dagster cannot use {home / 'dagster.yaml'}: {_first_words(error)}",
            remedy="correct the file, or move it away: the next `aegis ingest` writes a new one.",
        ) from error
    except Exception as error:  # of whatever storage dagster.yaml names
        place = _place(home)
        raise service_error(error, place) or ServiceError(
            f"Dagster's storage {home} does not answer: {_first_words(error)}",
            remedy="check that the storage in its dagster.yaml can be reached; after an upgrade of Dagster run "
            f"`dagster instance migrate`; if the error stays, {_move_away(home)}",
        ) from error


def configured_storage(home: Path) -> dict[str, Any]:
    """What the dagster.yaml in a folder says of storages; empty: they are SQLite files below the folder."""
    try:
        configured: Any = yaml.safe_load((home / "dagster.yaml").read_text("utf-8")) or {}
    except FileNotFoundError:
        return {}
    return {name: configured[name] for name in _STORAGES if name in configured} if isinstance(configured, dict) else {}


def _place(home: Path) -> Place:
    with suppress(OSError, *_SETTINGS):
        if configured_storage(home):
            said = f"Dagster's storage, which {home / 'dagster.yaml'} names,"
            return Place(said, None, "restore the server's backup; it holds the history of runs only.")
    return Place(f"Dagster's storage {home}", home, _move_away(home))


def _move_away(home: Path) -> str:
    return (
        f"move it away (`mv {home} {home}.damaged`): it holds the history of runs only, and the next run begins a new "
        "one. Documents, their results and the ledger are not in it."
    )


def _first_words(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".") + "."
