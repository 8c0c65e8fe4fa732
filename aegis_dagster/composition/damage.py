"""Finds what is damaged in the artifacts and the vector store, and resets it, so that the next run makes it again.

What a run makes again is not paid again where a cache holds what the models said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from aegis_dagster.composition.artifacts import side_by_side
from aegis_dagster.composition.project import Project
from aegis_dagster.composition.vectors import backend
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import Failure, Stage
from aegis_dagster.errors import ServiceError
from aegis_dagster.ports import Progress
from aegis_dagster.stages.reading import damaged
from aegis_dagster.stores.catalog.repairs import CatalogRepairs, Published
from aegis_dagster.stores.vectors.engines import points_by_collection


def folder_to_read(project: Project, stage: Stage, fingerprint: str) -> Path:
    """The folder of a sound artifact. A damaged one is reset, and `aegis status` names its documents until a run.

    Raises DocumentError ARTIFACT_DAMAGED.
    """
    damage = project.artifacts.damage(stage, fingerprint)
    if damage is None:
        return project.artifacts.path(stage, fingerprint)
    with suppress(ServiceError):  # whoever reads may have no right to write; the damage is told all the same
        reset_artifact(project, DamagedArtifact(stage, fingerprint, damage))
    raise damaged(stage, damage)


@dataclass(frozen=True, slots=True)
class DamagedArtifact:
    """A stored result that is not as it was written."""

    stage: Stage
    fingerprint: str
    what: str
    documents: Sequence[DocumentId] = ()


@dataclass(slots=True)
class ArtifactsReport:
    """What an audit of all artifacts found."""

    checked: int = 0
    without_checksums: list[tuple[Stage, str]] = field(default_factory=list)
    damaged: list[DamagedArtifact] = field(default_factory=list)


def audit_artifacts(project: Project, progress: Progress) -> ArtifactsReport:
    """Compare every artifact that a document uses with its checksums. Raises ServiceError."""
    repairs, report = CatalogRepairs(project.engine, project.clock), ArtifactsReport()
    wanted = repairs.artifacts()
    progress.start("artifacts", len(wanted))
    store = project.artifacts
    for (stage, fingerprint), what in side_by_side(partial(store.damage, in_store=True), wanted):
        documents = wanted[stage, fingerprint]
        if what is not None:
            report.damaged.append(DamagedArtifact(stage, fingerprint, what, documents))
        elif not store.has_checksums(stage, fingerprint):
            report.without_checksums.append((stage, fingerprint))
        report.checked += 1
        progress.advance("artifacts")
    if report.damaged:  # a run that works meanwhile replaces and sweeps artifacts
        still = repairs.artifacts()
        report.damaged = [one for one in report.damaged if (one.stage, one.fingerprint) in still]
    progress.finish("artifacts")
    return report


def reset_artifact(project: Project, artifact: DamagedArtifact) -> None:
    """Delete a damaged artifact and let the next run make it again. Raises ServiceError."""
    failure = Failure.of(damaged(artifact.stage, artifact.what))
    CatalogRepairs(project.engine, project.clock).reset_artifact(artifact.stage, artifact.fingerprint, failure)
    project.artifacts.delete(artifact.stage, artifact.fingerprint)


@dataclass(slots=True)
class PointsReport:
    """The points of the vector store against what the catalog says, by collection of documents."""

    points: Counter[str] = field(default_factory=Counter)
    expected: Counter[str] = field(default_factory=Counter)
    wrong: list[DocumentId] = field(default_factory=list)  # more or fewer points than the catalog says
    unknown: list[DocumentId] = field(default_factory=list)  # points of documents that the catalog does not know


def audit_points(project: Project, progress: Progress) -> PointsReport:
    """Count the points of every document. Raises ServiceError when the store cannot be read.

    Documents that change meanwhile, and those embedded by another model, are left out.
    """
    repairs, store, report = CatalogRepairs(project.engine, project.clock), project.vectors, PointsReport()
    before = repairs.published()
    progress.start("vectors", len(before))
    stored = store.counts_by_document()
    now = repairs.published()
    known = {document.id for document in project.documents.all()} | set(project.documents.deleted())
    for document_id, published in now.items():
        if before.get(document_id) == published and published.model == store.model:
            _compare(document_id, published, stored.get(document_id, 0), report)
    report.unknown = sorted(document_id for document_id in stored if document_id not in known)
    progress.advance("vectors", len(before))
    progress.finish("vectors")
    return report


def _compare(document_id: DocumentId, published: Published, points: int, report: PointsReport) -> None:
    report.points[published.collection] += points
    report.expected[published.collection] += published.points
    if points != published.points:
        report.wrong.append(document_id)


def reset_points(project: Project, report: PointsReport) -> None:
    """Let the next run publish the documents with wrong points again; remove the points of unknown ones."""
    CatalogRepairs(project.engine, project.clock).reset_embedding(report.wrong)
    project.vectors.delete_documents(report.unknown)


def reset_lost_points(project: Project, progress: Progress) -> list[DocumentId]:
    """Reset the documents whose points are missing. Cheap when nothing is: then the store is not opened.

    Raises ServiceError when the store cannot be read.
    """
    settings = project.settings
    project.vectors.check()
    if not project.vectors.exists():  # deleted or never made: `tidy_up` resets all documents
        return []
    stored = sum(points_by_collection(backend(settings, project.engine), settings.qdrant.collection).values())
    if stored >= CatalogRepairs(project.engine, project.clock).published_points():
        return []
    report = audit_points(project, progress)
    reset_points(project, report)
    return report.wrong
