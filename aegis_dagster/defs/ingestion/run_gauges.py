"""Pushes what a run took at a stage to a Pushgateway, because a run ends before Prometheus could scrape it."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING

import dagster as dg

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.memory import Peaks, measured
from aegis_dagster.monitoring.metrics.definitions import metric
from aegis_dagster.ports import Clock
from aegis_dagster.stages.context import StageReport
from aegis_dagster.stores.catalog.counts import OTHERS, collection_labels

if TYPE_CHECKING:
    from dagster_prometheus import PrometheusResource

JOB = "aegis_ingestion"
_PUSH_SECONDS = 5  # whole seconds, because dagster-prometheus takes no others
_NOT_TAKEN = (OSError, HTTPException, ValueError)
_ENDS = (Status.DONE, Status.SKIPPED, Status.FAILED, Status.DEFERRED)


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where gauges are pushed, and who is warned when that fails."""

    url: str | None  # None: nothing is measured or pushed
    clock: Clock
    warn: Callable[[str], None]
    instance: dg.DagsterInstance  # one for the run; dagster-prometheus would make one for each push, which takes 0.2 s


def label_of(project: Project, collection: CollectionName) -> str:
    """The name of a collection in gauges: beyond `metrics.most_collections` all share one name. Raises ServiceError.

    The Pushgateway never deletes a group by itself.
    """
    metrics = project.settings.metrics
    if metrics.pushgateway is None:
        return collection
    return collection_labels(project.engine, metrics.most_collections).get(collection, OTHERS)


@contextmanager
def run_gauges(gateway: Gateway, label: str, stage: Stage, reports: Sequence[StageReport]) -> Iterator[None]:
    """Measure a stage while the block runs and push its gauges after, also when the block raises.

    label: the collection's, by `label_of`. reports: those of the run so far; read after the block. Gauges of other
    collections and stages stay as they are. A gateway that refuses them causes one warning.
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
            _push(gateway, gateway.url, _group(label, stage), values)
        except _NOT_TAKEN as error:
            gateway.warn(
                f"The Pushgateway {gateway.url} did not take the gauges of stage {stage} of {label}: {error}. "
                "Nothing else is affected. Remedy: start it, or correct or remove `metrics.pushgateway`."
            )


def forget_gauges(gateway: Gateway, collections: Iterable[str]) -> None:
    """Remove the gauges of collections that no longer exist. A gateway that does not answer causes one warning."""
    if gateway.url is None:
        return
    for collection in collections:
        try:
            for stage in Stage:
                _client(gateway, gateway.url).delete_from_gateway(job=JOB, grouping_key=_group(collection, stage))
        except _NOT_TAKEN as error:
            gateway.warn(
                f"The Pushgateway {gateway.url} still shows the gauges of {collection}, which has no documents any "
                f"more: {error}. Remedy: delete its groups at that address by hand."
            )
            return  # it would take as long to fail for each collection


_Values = dict[str, dict[str, float]]  # by metric, then by status ("": the metric has no such label)


def _documents(reports: Sequence[StageReport]) -> dict[str, float]:
    """Documents by outcome, including those that needed nothing and those that wait for an earlier stage."""
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


def _group(label: str, stage: Stage) -> dict[str, str]:
    return {"collection": label, "stage": stage.value}


def _client(gateway: Gateway, url: str) -> "PrometheusResource":
    """A client with a registry of its own."""
    from dagster_prometheus import PrometheusResource  # imported late, with prometheus_client: most runs push nothing

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # its version is pinned
        client = PrometheusResource(gateway=url.rstrip("/"), timeout=_PUSH_SECONDS)
        with dg.build_init_resource_context(instance=gateway.instance) as context:
            client.setup_for_execution(context)
    return client


def _push(gateway: Gateway, url: str, group: dict[str, str], values: _Values) -> None:
    """Replace one group. Raises one of _NOT_TAKEN."""
    from prometheus_client import Gauge

    prometheus = _client(gateway, url)
    for name, by_status in values.items():
        # The group's labels come from the gateway.
        labels = [label for label in metric(name).labels if label not in group]
        gauge = Gauge(name, metric(name).help, labels, registry=prometheus.registry)
        for status, value in by_status.items():
            (gauge.labels(status) if labels else gauge).set(value)
    prometheus.push_to_gateway(job=JOB, grouping_key=group)
