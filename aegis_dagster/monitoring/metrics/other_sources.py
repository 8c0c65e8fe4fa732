"""Metrics of what is published: the graph in the evidence, Qdrant's points, the Neo4j view."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aegis_dagster.monitoring.metrics.samples import Samples
from aegis_dagster.stores.alerts.alerts import Alerts
from aegis_dagster.stores.evidence.queries import EvidenceQueries
from aegis_dagster.stores.neo4j_view import Neo4jView
from aegis_dagster.stores.vectors.qdrant_local import points_by_collection


def evidence_samples(graph: EvidenceQueries) -> Samples:
    """Entities and relations of the evidence. Raises ServiceError."""
    size = graph.size()
    samples = Samples()
    samples.add("graph_entities_count", value=size.entities)
    samples.add("graph_relations_count", value=size.relations)
    return samples


@dataclass(frozen=True, slots=True)
class QdrantMetrics:
    """Reads how many points a local store holds, beside whoever writes it."""

    folder: Path
    alias: str

    def read(self) -> Samples:
        """A sample for each collection behind the alias; none where there is no store yet. Raises ServiceError."""
        samples = Samples()
        for collection, points in points_by_collection(self.folder, self.alias).items():
            samples.add("qdrant_points_count", collection, value=points)
        return samples


def neo4j_samples(view: Neo4jView) -> Samples:
    """Entities and relations of the view. Raises ServiceError, ConfigurationError."""
    size = view.size()
    samples = Samples()
    samples.add("neo4j_entities_count", value=size.entities)
    samples.add("neo4j_relations_count", value=size.relations)
    return samples


@dataclass(frozen=True, slots=True)
class RunNumbers:
    """What Dagster's storage says."""

    last_success: Mapping[str, float]  # asset to seconds since 1970-01-01 UTC; only assets that have one
    runs: Mapping[tuple[str, str], int]  # by job and how they ended; 0 for each job and end without one


def run_samples(numbers: RunNumbers) -> Samples:
    """The numbers as samples."""
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
