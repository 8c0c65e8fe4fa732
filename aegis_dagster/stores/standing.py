"""Where documents stand, read once and asked several times.

Belongs here: summaries, failures and facts of rows that were read.
Does not belong here: reading them (`catalog_reports.py`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.domain.stages import Document, Failure, Stage, StageState, Status, document_status
from aegis_dagster.domain.watching import only_embedding_is_stale


@dataclass(slots=True)
class CollectionSummary:
    """Where the documents of a collection stand."""

    name: CollectionName
    documents: int = 0
    chunks: int = 0
    by_status: Counter[Status] = field(default_factory=Counter)
    by_stage: dict[Stage, Counter[Status]] = field(default_factory=lambda: {stage: Counter() for stage in Stage})


@dataclass(frozen=True, slots=True)
class FailedDocument:
    """A document that failed at a stage."""

    document_id: DocumentId
    stage: Stage
    failure: Failure
    attempts: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Documents, sorted by id, with their states and the fingerprints that are wanted now."""

    rows: Sequence[tuple[Document, dict[Stage, StageState], dict[Stage, str]]]

    def summaries(self) -> list[CollectionSummary]:
        """Per collection, sorted by name."""
        found: dict[CollectionName, CollectionSummary] = {}
        for document, states, wanted in self.rows:
            summary = found.setdefault(document.collection, CollectionSummary(document.collection))
            summary.documents += 1
            summary.by_status[document_status(states, wanted)] += 1
            summary.chunks += int(states[Stage.CHUNK].facts.get("chunks", 0)) if Stage.CHUNK in states else 0
            for stage in Stage:
                state = states.get(stage)
                current = state is not None and state.fingerprint == wanted[stage]
                summary.by_stage[stage][state.status if state and current else Status.PENDING] += 1
        return [found[name] for name in sorted(found)]

    def failures(self) -> list[FailedDocument]:
        """Every failed document and stage, sorted."""
        return [
            FailedDocument(document.id, stage, state.failure, state.attempts)
            for document, states, _ in self.rows
            for stage, state in sorted(states.items())
            if state.failure is not None
        ]

    def facts(self, stage: Stage) -> dict[DocumentId, dict[str, Any]]:
        """What was recorded of each document that is done at a stage."""
        return {
            document.id: states[stage].facts
            for document, states, wanted in self.rows
            if stage in states and states[stage].status is Status.DONE and states[stage].fingerprint == wanted[stage]
        }

    def without_embedding_anew(self) -> list[Document]:
        """The documents but for those that only another embedding model, or its settings, made stale."""
        return [document for document, states, wanted in self.rows if not only_embedding_is_stale(states, wanted)]
