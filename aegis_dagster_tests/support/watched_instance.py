"""A Dagster instance with checks and runs of chosen outcomes, and the pager that follows them."""

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType

from aegis_dagster.composition.pager import paging_channels
from aegis_dagster.composition.project import Project
from aegis_dagster.defs.alerting.sensor import look
from aegis_dagster.settings import load_settings
from aegis_dagster.stores.alerts.alerts import Alerts
from aegis_dagster.stores.alerts.outbox import AlertsOutbox
from aegis_dagster.stores.clock import SystemClock

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


class MovedClock:
    """The computer's clock, to match the times that Dagster writes, plus an offset."""

    def __init__(self) -> None:
        self.moved = timedelta()

    def now(self) -> datetime:
        return SystemClock().now() + self.moved

    def monotonic(self) -> float:
        return SystemClock().monotonic() + self.moved.total_seconds()

    def move(self, **by: float) -> None:
        self.moved += timedelta(**by)


class Watched:
    """An instance, and the sensor's cursor in it."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.clock = MovedClock()
        self.cursor = 0

    def look(self) -> str:
        """What the sensor does at a tick, with a project that remembers nothing."""
        project = Project(load_settings(), self.clock)
        try:
            self.cursor, told = look(self.instance, project, paging_channels(project), self.cursor)
        finally:
            project.engine.dispose()
        return told

    def alerts(self) -> Alerts:
        return Alerts(Project(load_settings(), self.clock).engine, self.clock)

    def outbox(self) -> AlertsOutbox:
        return AlertsOutbox(Project(load_settings(), self.clock).engine, self.clock)

    def evaluate(
        self,
        asset: str,
        check: str,
        passed: bool,
        *,
        severity: dg.AssetCheckSeverity = ERROR,
        partition: str | None = None,
        description: str | None = None,
        metadata: dict[str, dg.MetadataValue] | None = None,
    ) -> None:
        """An evaluation that another code location might report: the asset is in none of our definitions.

        One of a partition belongs to a run: Dagster stores only one without a run of each.
        """
        evaluation = dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(asset.split("/")),
            check_name=check,
            passed=passed,
            severity=severity,
            partition=partition,
            description=description,
            metadata=metadata,
        )
        if partition is None:
            self.instance.report_runless_asset_event(evaluation)
        else:
            event = DagsterEvent(
                DagsterEventType.ASSET_CHECK_EVALUATION.value, job_name="elsewhere", event_specific_data=evaluation
            )
            self.instance.report_dagster_event(event, run_id=str(uuid.uuid4()))

    def run(self, *, fails: bool, partition: str | None = None, error: str = "the disk is on fire") -> str:
        """A run of a job in this process; its id."""
        parts = dg.StaticPartitionsDefinition(["a", "b"])

        @dg.op
        def work() -> None:
            if fails:
                raise ValueError(error)

        @dg.job(partitions_def=parts if partition else None)
        def nightly() -> None:
            work()

        done = nightly.execute_in_process(instance=self.instance, partition_key=partition, raise_on_error=False)
        assert done.success is not fails
        return str(done.run_id)

    def check_in_a_run(self, results: Sequence[dg.AssetCheckResult]) -> str:
        """A run that materializes asset `ours` and evaluates its checks; its id."""
        specs = [dg.AssetCheckSpec(str(result.check_name), asset="ours") for result in results]

        @dg.asset(check_specs=specs)
        def ours() -> Iterator[dg.Output[None] | dg.AssetCheckResult]:
            yield dg.Output(None)
            yield from results

        done = dg.materialize([ours], instance=self.instance)
        return str(done.run_id)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """An instance with nothing in it, and a home beside it. Ticks are at least a second apart."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AEGIS_ALERTS__SECONDS", "1")
    monkeypatch.setenv("AEGIS_ALERTS__STANDS_SECONDS", "1")
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        yield Watched(instance)


def utc(microseconds: int) -> datetime:
    """The time in the format of the paging tables."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)
