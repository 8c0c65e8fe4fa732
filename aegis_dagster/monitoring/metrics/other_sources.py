"""Metrics of the graph, Qdrant's points, the Neo4j view, Dagster's runs, the alerts and the seats in a Ray cluster."""

from collections.abc import Mapping
from dataclasses import dataclass

from aegis_dagster.domain.evidence import GraphSize
from aegis_dagster.domain.seats import Lost, SeatFigures
from aegis_dagster.monitoring.metrics.samples import Samples
from aegis_dagster.stores.alerts.alerts import Alerts


def graph_samples(name: str, size: GraphSize) -> Samples:
    """Entities and relations of the evidence, "graph", or of the view, "neo4j"."""
    samples = Samples()
    samples.add(f"{name}_entities_count", value=size.entities)
    samples.add(f"{name}_relations_count", value=size.relations)
    return samples


def point_samples(points: Mapping[str, int]) -> Samples:
    """Points by collection of the vector store; none where there is no store yet."""
    samples = Samples()
    for collection, count in points.items():
        samples.add("qdrant_points_count", collection, value=count)
    return samples


@dataclass(frozen=True, slots=True)
class RunNumbers:
    """The figures from Dagster's storage."""

    last_success: Mapping[str, float]  # asset to seconds since 1970-01-01 UTC; only assets that were materialized
    runs: Mapping[tuple[str, str], int]  # by job and how they ended; 0 for each job and end without one


def run_samples(numbers: RunNumbers) -> Samples:
    """The figures as samples."""
    samples = Samples()
    for asset, seconds in numbers.last_success.items():
        samples.add("aegis_asset_last_success_timestamp_seconds", asset, value=seconds)
    for (job, status), count in numbers.runs.items():
        samples.add("aegis_runs", job, status, value=count)
    return samples


def alert_samples(alerts: Alerts) -> Samples:
    """Alerts by severity and undelivered messages by channel. Raises ServiceError."""
    samples = Samples()
    for severity, count in alerts.firing_by_severity().items():
        samples.add("aegis_alerts_firing", severity, value=count)
    for channel, count in alerts.waiting_by_channel().items():
        samples.add("aegis_pages_waiting", channel, value=count)
    return samples


def seat_samples(figures: SeatFigures) -> Samples:
    """Nodes, seats, the queue and lost workers."""
    samples = Samples()
    samples.add("aegis_ray_nodes", "alive", value=figures.nodes)
    samples.add("aegis_ray_nodes", "lost", value=figures.lost_nodes)
    samples.add("aegis_ray_seats", "ready", value=figures.ready)
    samples.add("aegis_ray_seats", "waiting", value=figures.waiting)
    samples.add("aegis_ray_queue", value=figures.queue)
    for reason in Lost:
        samples.add("aegis_ray_lost_workers_total", reason, value=figures.lost.get(reason, 0))
    return samples
