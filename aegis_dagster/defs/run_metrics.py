"""What Dagster's storage says about assets and runs, for metrics."""

import sqlite3
from contextlib import closing
from pathlib import Path

import dagster as dg

from aegis_dagster.defs.costs.assets import llm_costs
from aegis_dagster.defs.ingestion.assets import ASSETS
from aegis_dagster.defs.jobs import OWN_JOB_NAMES
from aegis_dagster.defs.runs import OVER
from aegis_dagster.defs.storage_faults import configured_storage, storage_faults_told
from aegis_dagster.monitoring.metrics.other_sources import RunNumbers

OTHER_JOBS = "(others)"  # what was materialized by hand in the UI, jobs of other projects in the same instance
_SQLITE_FILES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


def read_runs(home: Path) -> RunNumbers:
    """The figures of the Dagster instance in a folder; zeros if there is none yet. Creates none.

    Raises ServiceError when its storage does not answer, ConfigurationError when its dagster.yaml is wrong.
    """
    with storage_faults_told(home):
        if not is_there(home):
            return RunNumbers({}, {(job, _word(end)): 0 for job in (*OWN_JOB_NAMES, OTHER_JOBS) for end in OVER})
        with dg.DagsterInstance.from_config(str(home)) as instance:
            return RunNumbers(_last_success(instance), _runs(instance))


def storage_in_words(home: Path) -> str:
    """Where the instance in a folder keeps its runs. Raises ConfigurationError when its dagster.yaml is wrong."""
    with storage_faults_told(home):
        storage = configured_storage(home)
        if not storage:
            return "SQLite"
        custom = storage.get("storage", {}).get("custom", {})
        if custom.get("class") == "PostgresStorage":
            return f"Postgres, schema {custom.get('config', {}).get('schema', 'dagster')}"
        return f"the {', '.join(storage)} of its dagster.yaml"


def is_there(home: Path) -> bool:
    """Whether the instance in a folder exists. Opening one creates missing SQLite files by default."""
    if not _exists(home / "dagster.yaml"):
        return False
    if configured_storage(home):
        return True
    return all(_is_made(home / name) for name in _SQLITE_FILES)


def _is_made(file: Path) -> bool:
    """Whether a SQLite file has its tables; another process may be creating them right now."""
    if not _exists(file):
        return False
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if "alembic_version" not in tables:
            return False
        return connection.execute("SELECT 1 FROM alembic_version").fetchone() is not None


def _exists(file: Path) -> bool:
    """Whether something is there. Raises OSError if a file stands where a folder should be."""
    try:
        file.stat()
    except FileNotFoundError:
        return False
    return True


def _last_success(instance: dg.DagsterInstance) -> dict[str, float]:
    found: dict[str, float] = {}
    for asset in (*ASSETS, llm_costs):
        event = instance.get_latest_materialization_event(asset.key)
        if event is not None:
            found[asset.key.to_user_string()] = event.timestamp
    return found


def _runs(instance: dg.DagsterInstance) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for end in OVER:
        of_ours = {job: instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=[end])) for job in OWN_JOB_NAMES}
        counts.update({(job, _word(end)): count for job, count in of_ours.items()})
        everything = instance.get_runs_count(dg.RunsFilter(statuses=[end]))
        # Runs that end between the two queries are counted the next time.
        counts[OTHER_JOBS, _word(end)] = max(0, everything - sum(of_ours.values()))
    return counts


def _word(status: dg.DagsterRunStatus) -> str:
    return str(status.value).lower()
