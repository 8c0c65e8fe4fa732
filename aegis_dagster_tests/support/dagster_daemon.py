"""Does in this process what Dagster's daemon does with sensors and schedules: evaluate, dedupe by run key, run."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import dagster as dg
from dagster._core.execution.build_resources import wrap_resources_for_execution

from aegis_dagster.composition.project import Project
from aegis_dagster.definitions import build_definitions
from aegis_dagster.defs.ingestion.config import collections
from aegis_dagster.search import find_passages
from aegis_dagster.settings import load_settings
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster_tests.support.tasks_in_process import InProcessResource

_RUN_KEY = "dagster/run_key"


class _Tick(dg.ScheduleEvaluationContext):
    """Dagster's own context reopens the instance from its reference, which loses events in memory."""

    def __init__(self, instance: dg.DagsterInstance, at: datetime, definitions: dg.Definitions) -> None:
        super().__init__(
            instance.get_ref(),
            at,
            resources=wrap_resources_for_execution(definitions.resources),
            repository_def=definitions.get_repository_def(),
        )
        self._made = instance

    @property
    def instance(self) -> dg.DagsterInstance:
        return self._made


@dataclass(slots=True)
class Daemon:
    """Ticks on request. Like the daemon, it does not keep the cursor when a tick fails."""

    instance: dg.DagsterInstance
    cursor: str | None = None
    said: str = ""
    results: list[dg.ExecuteInProcessResult] = field(default_factory=list)  # of the last `tick`

    def definitions(self) -> dg.Definitions:
        """The definitions for the current settings."""
        return build_definitions(InProcessResource(seconds_before_retry=0))

    def requests(self) -> list[dg.RunRequest]:
        """One tick of the sensor. Returns its requests without those whose run keys were used before."""
        definitions = self.definitions()
        sensor = definitions.get_repository_def().get_sensor_def("watched_folder")
        with dg.build_sensor_context(
            instance=self.instance,
            instance_ref=self.instance.get_ref(),
            cursor=self.cursor,
            definitions=definitions,
            resources=definitions.resources,
            sensor_name="watched_folder",
        ) as context:
            result = sensor.evaluate_tick(context)
        self.cursor, self.said = result.cursor, result.skip_message or ""
        asked = result.run_requests or []
        assert all(request.run_key for request in asked)
        return [one for one in asked if not self.instance.get_runs(dg.RunsFilter(tags={_RUN_KEY: str(one.run_key)}))]

    def tick(self) -> list[str]:
        """One tick and every run that it requests. Returns the collections, or names of jobs without a partition."""
        requests = self.requests()
        self.results = [self.run(request) for request in requests]
        return [request.partition_key or str(request.job_name) for request in requests]

    def run(self, request: dg.RunRequest, job: str = "") -> dg.ExecuteInProcessResult:
        """Execute the requested run."""
        definition = self.definitions().resolve_job_def(request.job_name or job)
        return definition.execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            run_config=request.run_config,
            tags={**request.tags, _RUN_KEY: str(request.run_key)},
            raise_on_error=False,
        )

    def schedule(self, name: str, at: datetime) -> Sequence[dg.RunRequest]:
        """One tick of a schedule."""
        definitions = self.definitions()
        schedule = definitions.get_repository_def().get_schedule_def(name)
        with _Tick(self.instance, at, definitions) as context:
            result = schedule.evaluate_tick(context)
        self.said = result.skip_message or ""
        return result.run_requests or []

    def partitions(self) -> set[str]:
        """The collections that Dagster knows."""
        return set(self.instance.get_dynamic_partitions(str(collections.name)))

    def check(self, name: str) -> bool | None:
        """Whether a check on `parsed_documents` passed; None: it was never evaluated."""
        key = dg.AssetCheckKey(dg.AssetKey("parsed_documents"), name)
        found = self.instance.event_log_storage.get_latest_asset_check_execution_by_key([key]).get(key)
        return None if found is None else found.status.value == "SUCCEEDED"

    def evaluations(self, name: str) -> int:
        """How often a check on `parsed_documents` was evaluated."""
        key = dg.AssetCheckKey(dg.AssetKey("parsed_documents"), name)
        return len(self.instance.event_log_storage.get_asset_check_execution_history(key, limit=100))


class LaterClock:
    """A clock that is ahead of the real time."""

    def __init__(self, **later: float) -> None:
        self._later = timedelta(**later)

    def now(self) -> datetime:
        return SystemClock().now() + self._later

    def monotonic(self) -> float:
        return SystemClock().monotonic()


def found(question: str) -> list[str]:
    """Ids of the documents that answer a question, the best first."""
    hits = asyncio.run(find_passages(Project(load_settings()), question, mode="sparse"))
    return list(dict.fromkeys(hit.document for hit in hits))
