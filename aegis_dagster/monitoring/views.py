"""Metrics of what is published: the graph in the evidence, Qdrant's points, the Neo4j view.

Belongs here: their counts as metrics. Does not belong here: counting (`stores/`).
"""

from dataclasses import dataclass
from pathlib import Path

from aegis_dagster.monitoring.families import Samples
from aegis_dagster.stores.evidence_queries import EvidenceQueries
from aegis_dagster.stores.neo4j_view import Neo4jView
from aegis_dagster.stores.qdrant_local import points_by_collection


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
