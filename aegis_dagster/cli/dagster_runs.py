"""Runs Dagster jobs in this process and records them in the home's Dagster instance.

Import it late: dagster takes over a second.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import dagster as dg
from filelock import FileLock

from aegis_dagster.composition.project import Project
from aegis_dagster.definitions import build_definitions
from aegis_dagster.defs.history import history_kept_open
from aegis_dagster.defs.ingestion.config import IngestOptions, collections
from aegis_dagster.defs.resources import ProjectResource, RunObserver, observed_by
from aegis_dagster.defs.run_metrics import is_there
from aegis_dagster.defs.runs import done_by
from aegis_dagster.defs.runs import runs_at_work as unfinished
from aegis_dagster.defs.storage_faults import storage_faults_told
from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.markdown import unescaped
from aegis_dagster.process_identity import new_owner
from aegis_dagster.settings import Settings

_OPENING_SECONDS = 60.0  # opening takes one or two

_SILENT: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_NOT_BY_DAGSTER = {"dagster/max_retries": "0"}  # Dagster cannot restart a run that it did not launch
_WORDS = {dg.AssetCheckSeverity.ERROR: "error", dg.AssetCheckSeverity.WARN: "warning"}


def run_collections(
    project: Project, work: Mapping[CollectionName, IngestOptions], observer: RunObserver
) -> Iterator[tuple[CollectionName, str]]:
    """Bring collections up to date, each by a run with its options. Yields those whose run failed, and why."""
    job = build_definitions(ProjectResource(home=str(project.settings.home))).resolve_job_def("ingest")
    with observed_by(observer), _instance(project.settings, partitions=list(work)) as instance:
        for collection, options in work.items():
            result = _run(job, instance, {**options.run_config(), **_SILENT}, collection)
            if not result.success:
                yield collection, _why_failed(result)


def run_cost_checks(project: Project) -> list[str]:
    """Run the cost checks. Returns the failures, worst first, or why the run failed."""
    job = build_definitions(ProjectResource(home=str(project.settings.home))).resolve_job_def("check_budgets")
    with _instance(project.settings) as instance:
        result = _run(job, instance, _SILENT)
    if not result.success:
        return [f"error: the costs could not be checked: {_why_failed(result)}"]
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    failed.sort(key=lambda check: check.severity is not dg.AssetCheckSeverity.ERROR)
    return [f"{_WORDS[check.severity]}: {check.check_name}: {unescaped(check.description or '')}" for check in failed]


def _run(
    job: dg.JobDefinition, instance: dg.DagsterInstance, run_config: Mapping[str, Any], collection: str | None = None
) -> dg.ExecuteInProcessResult:
    """Run a job tagged with this process, so that `aegis dev` notices when the process is killed."""
    run_id = str(uuid.uuid4())
    return job.execute_in_process(
        run_config,
        instance,
        partition_key=collection,
        run_id=run_id,
        tags={**done_by(run_id, new_owner()), **_NOT_BY_DAGSTER},
        raise_on_error=False,
    )


def open_partitions(project: Project) -> None:
    """Open the home's Dagster instance, with a partition for every collection of the catalog."""
    with _instance(project.settings, partitions=project.documents.collections()):
        pass


def runs_at_work(settings: Settings) -> list[str]:
    """The ids of the runs of a home that are queued or in progress. Raises ServiceError, ConfigurationError."""
    home = settings.dagster_home
    with storage_faults_told(home):
        if not is_there(home):
            return []
        with dg.DagsterInstance.from_config(str(home)) as instance:
            return unfinished(instance)


@contextmanager
def _instance(settings: Settings, partitions: Sequence[str] = ()) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of a home; creates it if it is missing.

    Raises ServiceError when its storage fails, also inside the block, and ConfigurationError for a wrong dagster.yaml.
    """
    home = settings.dagster_home
    with storage_faults_told(home), ExitStack() as open_until_the_end:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        open_until_the_end.enter_context(history_kept_open(home))
        # Two processes that create the tables of a new instance at once would conflict. On Postgres hosts queue, too.
        with FileLock(home / "opening.lock", timeout=_OPENING_SECONDS):
            put_dagster_yaml(home, in_database=settings.database_url.startswith("postgresql"))
            instance = open_until_the_end.enter_context(dg.DagsterInstance.from_config(str(home)))
            if partitions:
                instance.add_dynamic_partitions(str(collections.name), list(partitions))
        yield instance


def _why_failed(result: dg.ExecuteInProcessResult) -> str:
    failures = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    failures += [event.job_failure_data.error for event in result.all_events if event.is_job_failure]
    for error in failures:
        if error is not None:
            return (error.cause or error).message.strip()
    return "the run did not start"


def put_dagster_yaml(home: Path, *, in_database: bool = False) -> None:
    """Put the project's dagster.yaml into the folder of a Dagster instance; an existing file stays as it is.

    in_database: Dagster's storage is on the Postgres server of the settings. Raises ConfigurationError.
    """
    if (home / "dagster.yaml").exists():
        return
    text = (files("aegis_dagster.defs") / "dagster.yaml").read_text("utf-8")
    if in_database:
        from aegis_dagster.defs.postgres_storage import IN_DATABASE  # of an extra

        text += IN_DATABASE
    (home / "dagster.yaml").write_text(text, "utf-8")
