"""What a run took at a stage, pushed to a Pushgateway: a run ends before Prometheus could ask it.

Belongs here: measuring around a stage and pushing, through dagster-prometheus.
Does not belong here: how memory is sampled (`monitoring/peaks.py`), what `aegis metrics` serves.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException

import dagster as dg

from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.monitoring.catalogue import metric
from aegis_dagster.monitoring.peaks import Peaks, measured
from aegis_dagster.ports import Clock
from aegis_dagster.stages.report import StageReport

JOB = "aegis_ingestion"
_PUSH_SECONDS = 5  # whole seconds: what dagster-prometheus takes
_ENDS = (Status.DONE, Status.SKIPPED, Status.FAILED, Status.DEFERRED)


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where gauges go, and who is told when they cannot."""

    url: str | None  # None: nothing is measured or pushed
    clock: Clock
    warn: Callable[[str], None]
    instance: dg.DagsterInstance  # of the run; dagster-prometheus would make one for each push, which takes 0.2 s


@contextmanager
def run_gauges(
    gateway: Gateway, collection: CollectionName, stage: Stage, reports: Sequence[StageReport]
) -> Iterator[None]:
    """Measure a stage while the block runs and push its gauges after, also when the block raises.

    reports: of the run so far; read after the block. Gauges of other collections and stages stay as they are.
    A gateway that does not take them costs one warning.
    """
    if gateway.url is None:
        yield
        return
    started = time.monotonic()
    peaks = Peaks()
    try:
        with measured() as peaks:
            yield
    finally:
        documents = _documents([report for report in reports if report.stage is stage])
        values = _values(time.monotonic() - started, documents, peaks, gateway.clock)
        try:
            _push(gateway.url, gateway.instance, {"collection": collection, "stage": stage.value}, values)
        except (OSError, HTTPException, ValueError) as error:
            gateway.warn(
                f"The Pushgateway {gateway.url} did not take the gauges of stage {stage} of {collection}: {error}. "
                "Nothing else is affected. Remedy: start it, or correct or remove `metrics.pushgateway`."
            )


_Values = dict[str, dict[str, float]]  # by metric, then by status ("": the metric has no such label)


def _documents(reports: Sequence[StageReport]) -> dict[str, float]:
    """How many documents ended how; together with those that needed nothing and those that wait for a stage above."""
    counts = {end.value: float(sum(report.outcomes[end] for report in reports)) for end in _ENDS}
    counts["up_to_date"] = sum(report.up_to_date for report in reports)
    counts["blocked"] = sum(report.blocked for report in reports)
    return counts


def _values(seconds: float, documents: dict[str, float], peaks: Peaks, clock: Clock) -> _Values:
    values: _Values = {
        "aegis_run_stage_seconds": {"": seconds},
        "aegis_run_stage_documents": documents,
        "aegis_run_stage_peak_memory_bytes": {"": peaks.memory_bytes},
        "aegis_run_stage_finished_timestamp_seconds": {"": clock.now().timestamp()},
    }
    if peaks.vram_bytes is not None:
        values["aegis_run_stage_peak_vram_bytes"] = {"": peaks.vram_bytes}
    return values


def _push(url: str, instance: dg.DagsterInstance, group: dict[str, str], values: _Values) -> None:
    """Replace one group. Raises OSError, HTTPException or ValueError when the gateway does not take it."""
    from dagster_prometheus import PrometheusResource  # late, with prometheus_client: most runs push nothing
    from prometheus_client import Gauge

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # its version is pinned
        prometheus = PrometheusResource(gateway=url.rstrip("/"), timeout=_PUSH_SECONDS)
        with dg.build_init_resource_context(instance=instance) as context:
            prometheus.setup_for_execution(context)  # makes a registry for this push alone
    for name, by_status in values.items():
        # The group's labels come from the gateway.
        labels = [label for label in metric(name).labels if label not in group]
        gauge = Gauge(name, metric(name).help, labels, registry=prometheus.registry)
        for status, value in by_status.items():
            (gauge.labels(status) if labels else gauge).set(value)
    prometheus.push_to_gateway(job=JOB, grouping_key=group)
