"""What the catalog says to people: counts, failures, lookups, and its digest."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from aegis_dagster.domain.accounts import PutOff
from aegis_dagster.domain.fingerprints import Identities, wanted_fingerprints
from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.domain.stages import (
    Document,
    Failure,
    Stage,
    StageState,
    Status,
    document_status,
    up_to_date,
)
from aegis_dagster.domain.staleness import only_embedding_is_stale
from aegis_dagster.errors import UnknownDocument
from aegis_dagster.stores.catalog.claims import Catalog
from aegis_dagster.stores.catalog.documents import DocumentList
from aegis_dagster.stores.catalog.schema import documents, stage_states
from aegis_dagster.stores.catalog.states import Reached, StateRows
from aegis_dagster.stores.database import read

_NOT_IN_DIGEST = ("seconds", "budget")  # which of several calls an account turned down first is chance


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


class CatalogReports:
    """Read-only views of the catalog."""

    def __init__(self, engine: Engine, catalog: Catalog, document_list: DocumentList, identities: Identities) -> None:
        self._engine = engine
        self._catalog = catalog
        self._documents = document_list
        self._identities = identities
        self._whole = StateRows(engine, identities, all_facts=True)
        self._deciding = StateRows(engine, identities)

    def standing(self, only: Collection[Document] | None = None) -> Standing:
        """Where all documents stand, or these, as they are now: read once for several questions."""
        return Standing(list(self._with_states(only)))

    def summaries(self, only: Collection[Document] | None = None) -> list[CollectionSummary]:
        """Per collection, sorted by name; of all documents or of these."""
        return self.standing(only).summaries()

    def stale(
        self,
        exists: Callable[[Stage, str], bool],
        only: Collection[Document] | None = None,
        *,
        embed_anew: bool = True,
    ) -> list[Document]:
        """The documents that have work left at some stage, or whose artifact is lost.

        exists: looks for an artifact; see `FolderArtifacts.listed`. embed_anew: also those that only another embedding
        model, or its settings, made stale.
        """
        rows = self._deciding.every() if only is None else self._deciding.of(only)
        return [reached.document for reached in rows if _is_stale(reached, exists, embed_anew)]

    def failures(self, only: Collection[Document] | None = None) -> list[FailedDocument]:
        """Every failed document and stage, sorted."""
        return self.standing(only).failures()

    def marked(self, only: Collection[Document] | None = None) -> list[tuple[DocumentId, float, str]]:
        """Documents whose chunks lost text: (id, coverage 0..1, a sample of what is missing)."""
        return [
            (document.id, states[Stage.CHUNK].facts["coverage"], states[Stage.CHUNK].facts.get("missing_sample", ""))
            for document, states, _ in self._with_states(only)
            if Stage.CHUNK in states and states[Stage.CHUNK].facts.get("marked")
        ]

    def facts(self, stage: Stage, only: Collection[Document] | None = None) -> dict[DocumentId, dict[str, Any]]:
        """What was recorded of each document that is done at a stage."""
        return self.standing(only).facts(stage)

    def changed_since_parsed(self) -> set[DocumentId]:
        """Documents whose bytes changed after they were parsed, or were refused, for the last time."""
        query = (
            sa.select(documents.c.id)
            .join(stage_states, stage_states.c.document_id == documents.c.id)
            .where(stage_states.c.stage == str(Stage.PARSE), stage_states.c.finished_ms <= documents.c.changed_ms)
        )
        with read(self._engine) as connection:
            return {DocumentId(document_id) for document_id in connection.execute(query).scalars()}

    def embedded_points(self) -> int | None:
        """How many points all documents have together; None while some document still waits to be embedded."""
        points = 0
        for _, states, wanted in self._with_states(None):
            state = states.get(Stage.EMBED)
            if state is None or state.fingerprint != wanted[Stage.EMBED] or not up_to_date(Stage.EMBED, states, wanted):
                return None
            points += int(state.facts.get("points", 0))
        return points

    def put_off(self) -> Counter[PutOff]:
        """How many documents wait, by why, at whichever stage."""
        query = (
            sa.select(stage_states.c.facts, sa.func.count().label("documents"))
            .join(documents, documents.c.id == stage_states.c.document_id)
            .where(stage_states.c.stage.in_([str(stage) for stage in Stage]))  # the index begins with it
            .where(stage_states.c.status == str(Status.DEFERRED), ~documents.c.deleted)
            .group_by(stage_states.c.facts)
        )
        waiting: Counter[PutOff] = Counter()
        with read(self._engine) as connection:
            for row in connection.execute(query):
                waiting[PutOff.of(json.loads(row.facts))] += row.documents
        return waiting

    def find(self, name: str) -> Document:
        """The document with this id, or the only one whose id ends so. Raises UnknownDocument with candidates."""
        exact = self._documents.get([DocumentId(name)])
        if exact:
            return exact[0]
        with read(self._engine) as connection:
            query = sa.select(documents.c.id).where(~documents.c.deleted).order_by(documents.c.id)
            ids = [DocumentId(value) for value in connection.execute(query).scalars()]
        matches = [value for value in ids if value.endswith("/" + name)] or [value for value in ids if name in value]
        if len(matches) == 1:
            return self._documents.get(matches)[0]
        listed = ", ".join(matches[:5])
        remedy = f"name one of: {listed}." if matches else "`aegis status` lists the collections; ids are paths."
        raise UnknownDocument(f"{len(matches)} documents match {name!r}.", remedy=remedy)

    def wanted(self, document: Document) -> tuple[dict[Stage, StageState], dict[Stage, str]]:
        """The states and wanted fingerprints of one document."""
        states = self._catalog.states([document.id])[document.id]
        return states, wanted_fingerprints(document, self._identities, states)

    def digest(self) -> str:
        """A hash of documents, revisions, and status, fingerprint, error code and facts of each stage.

        Times, attempts, leases and history do not count.
        """
        hasher = hashlib.sha256()
        for document, states, _ in self._with_states(None):
            lines = [f"{document.id} {document.revision} {document.size_bytes} {document.suffix}"]
            for stage in Stage:
                state = states.get(stage)
                if state is None or state.status in (Status.PENDING, Status.RUNNING):
                    continue
                facts = {key: value for key, value in state.facts.items() if key not in _NOT_IN_DIGEST}
                code = state.failure.code if state.failure else ""
                lines.append(f"{stage} {state.status} {state.fingerprint} {code} {json.dumps(facts, sort_keys=True)}")
            hasher.update("\n".join(lines).encode("utf-8", "surrogateescape") + b"\n")
        return hasher.hexdigest()

    def _with_states(
        self, only: Collection[Document] | None
    ) -> Iterator[tuple[Document, dict[Stage, StageState], dict[Stage, str]]]:
        for reached in self._whole.every() if only is None else self._whole.of(only):
            yield reached.document, reached.states(), reached.wanted


def _is_stale(reached: Reached, exists: Callable[[Stage, str], bool], embed_anew: bool) -> bool:
    if not reached.plainly_done():
        states = reached.states()
        if not embed_anew and only_embedding_is_stale(states, reached.wanted):
            return False
        if not all(up_to_date(stage, states, reached.wanted) for stage in Stage):
            return True
    return not all(exists(stage, fingerprint) for stage, fingerprint in reached.artifacts())
