"""The catalog's reports for people: counts, failures, lookups, and its digest."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from aegis_dagster.domain.accounts import PutOff
from aegis_dagster.domain.document_state import DocumentState, Exists
from aegis_dagster.domain.identifiers import CollectionName, DocumentId, composed
from aegis_dagster.domain.stages import LEFT_OUT, UNREAD, UNREAD_WHY, Document, Failure, Stage, Status
from aegis_dagster.errors import UnknownDocument
from aegis_dagster.stores.catalog.claims import FACTS
from aegis_dagster.stores.catalog.documents import DocumentList
from aegis_dagster.stores.catalog.schema import documents, stage_states
from aegis_dagster.stores.catalog.states import ALL_FACTS, DocumentStates
from aegis_dagster.stores.database import object_in, read

_STAGES = tuple(Stage)
_CHUNK_FACTS = frozenset({Stage.CHUNK})
_NOT_IN_DIGEST = ("seconds", "budget")  # the call that an account refused first is random


@dataclass(slots=True)
class CollectionSummary:
    """How many documents of a collection are in each status."""

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
class IncompleteDocument:
    """A document that is done at a stage, but of which no model read a part to its end."""

    document_id: DocumentId
    stage: Stage
    unread: Mapping[str, int]  # pictures or chunks by error code
    why: Mapping[str, str]  # what was said about it by error code, as far as that is known


@dataclass(frozen=True, slots=True)
class MarkedDocument:
    """A document of which text is in no chunk."""

    document_id: DocumentId
    coverage: float  # 0..1
    losses: int  # passages that are missing
    missing_sample: str  # the first
    missing: tuple[tuple[str, str], ...]  # place and text of the first of them


def summaries_of(states: Iterable[DocumentState]) -> list[CollectionSummary]:
    """One summary per collection, sorted by name."""
    found: dict[CollectionName, CollectionSummary] = {}
    alike: Counter[tuple[CollectionName, tuple[Status, ...]]] = Counter()  # by the status at each stage
    for state in states:
        name = state.document.collection
        summary = found.get(name) or found.setdefault(name, CollectionSummary(name))
        summary.documents += 1
        summary.by_status[state.status] += 1
        chunked = state.recorded.get(Stage.CHUNK)
        summary.chunks += int(chunked.facts.get("chunks", 0)) if chunked is not None else 0
        alike[name, tuple([state.status_at(stage) for stage in _STAGES])] += 1
    for (name, statuses), count in alike.items():
        for stage, status in zip(_STAGES, statuses, strict=True):
            found[name].by_stage[stage][status] += count
    return [found[name] for name in sorted(found)]


def failures_of(states: Iterable[DocumentState]) -> list[FailedDocument]:
    """Every failed document and stage, sorted."""
    return [
        FailedDocument(state.document.id, stage, recorded.failure, recorded.attempts)
        for state in states
        for stage, recorded in sorted(state.recorded.items())
        if recorded.failure is not None
    ]


def facts_of(states: Iterable[DocumentState], stage: Stage) -> dict[DocumentId, Mapping[str, Any]]:
    """The recorded facts of each document that is done at a stage."""
    done = (state for state in states if state.status_at(stage) is Status.DONE)
    return {state.document.id: state.recorded[stage].facts for state in done}


class CatalogReports:
    """Read-only views of the catalog."""

    def __init__(self, engine: Engine, states: DocumentStates, document_list: DocumentList) -> None:
        self._engine = engine
        self._states = states
        self._documents = document_list

    def summaries(self, only: Collection[Document] | None = None) -> list[CollectionSummary]:
        """One summary per collection, sorted by name, over all documents or these."""
        return summaries_of(self._read(only, _CHUNK_FACTS))

    def stale(
        self,
        exists: Exists,
        only: Collection[Document] | None = None,
        *,
        embed_anew: bool = True,
    ) -> list[Document]:
        """The documents that have work left at some stage, or whose artifact is lost.

        exists: whether an artifact exists; see `FolderArtifacts.listed`. embed_anew: include those that are stale only
        because the embedding model or its settings changed.
        """
        return [
            state.document
            for state in self._read(only, frozenset())
            if state.is_stale(exists) and (embed_anew or not state.only_embedding_is_stale())
        ]

    def survey(
        self, exists: Exists, only: Collection[Document] | None = None
    ) -> tuple[list[Document], Counter[Status]]:
        """The same documents as `stale`, and how many of all are in each status, from one pass."""
        stale: list[Document] = []
        by_status: Counter[Status] = Counter()
        for state in self._read(only, frozenset()):
            by_status[state.status] += 1
            if state.is_stale(exists):
                stale.append(state.document)
        return stale, by_status

    def failures(self, only: Collection[Document] | None = None) -> list[FailedDocument]:
        """Every failed document and stage, sorted."""
        return failures_of(self._read(only, frozenset()))

    def incomplete(self, only: Collection[Document] | None = None) -> list[IncompleteDocument]:
        """The documents with pictures or chunks that no model read to their end, by document and stage."""
        return [
            IncompleteDocument(row.document_id, Stage(row.stage), facts[UNREAD], facts.get(UNREAD_WHY, {}))
            for row, facts in self._done_with(UNREAD, (Stage.ENRICH, Stage.GRAPH), only)
        ]

    def marked(self, only: Collection[Document] | None = None) -> list[MarkedDocument]:
        """Documents of which text is in no chunk, sorted by id."""
        recorded = ((state.document.id, state.recorded.get(Stage.CHUNK)) for state in self._read(only, _CHUNK_FACTS))
        return [
            MarkedDocument(
                document_id,
                chunked.facts["coverage"],
                chunked.facts.get("losses", 0),
                chunked.facts.get("missing_sample", ""),
                tuple((item["place"], item["text"]) for item in chunked.facts.get("missing", ())),
            )
            for document_id, chunked in recorded
            if chunked is not None and chunked.facts.get("marked")
        ]

    def left_out(self, only: Collection[Document] | None = None) -> dict[str, int]:
        """How many texts of all documents are left out on purpose, by reason."""
        total: Counter[str] = Counter()
        for _, facts in self._done_with(LEFT_OUT, (Stage.PARSE,), only):
            total.update(facts[LEFT_OUT])
        return dict(sorted(total.items()))

    def facts(self, stage: Stage, only: Collection[Document] | None = None) -> dict[DocumentId, Mapping[str, Any]]:
        """The recorded facts of each document that is done at a stage."""
        return facts_of(self._read(only, frozenset({stage})), stage)

    def embedded_points(self) -> int | None:
        """The total number of points of all documents; None while a document still waits to be embedded."""
        points = 0
        for state in self._states.every(frozenset({Stage.EMBED})):
            if not state.is_current(Stage.EMBED):
                return None
            points += int(state.recorded[Stage.EMBED].facts.get("points", 0))
        return points

    def put_off(self) -> Counter[PutOff]:
        """How many documents are deferred at any stage, by reason."""
        query = (
            sa.select(stage_states.c.facts, sa.func.count().label("documents"))
            .join(documents, documents.c.id == stage_states.c.document_id)
            .where(stage_states.c.stage.in_([str(stage) for stage in Stage]))  # the index begins with the stage
            .where(stage_states.c.status == str(Status.DEFERRED), ~documents.c.deleted)
            .group_by(stage_states.c.facts)
        )
        waiting: Counter[PutOff] = Counter()
        with read(self._engine) as connection:
            for row in connection.execute(query):
                waiting[PutOff.of(object_in(row.facts, FACTS))] += row.documents
        return waiting

    def find(self, name: str) -> Document:
        """The document with this id, or the only one whose id ends with it, however its accents are stored (NFC, NFD).

        Raises UnknownDocument with candidates.
        """
        exact = self._documents.get([DocumentId(name)])
        if exact:
            return exact[0]
        with read(self._engine) as connection:
            query = sa.select(documents.c.id).where(~documents.c.deleted).order_by(documents.c.id)
            ids = {DocumentId(value): composed(value) for value in connection.execute(query).scalars()}
        typed = composed(name)
        matches = (
            [value for value, known in ids.items() if known == typed]
            or [value for value, known in ids.items() if known.endswith("/" + typed)]
            or [value for value, known in ids.items() if typed in known]
        )
        if len(matches) == 1:
            return self._documents.get(matches)[0]
        listed = ", ".join(matches[:5])
        remedy = f"name one of: {listed}." if matches else "`aegis status` lists the collections; ids are paths."
        raise UnknownDocument(f"{len(matches)} documents match {name!r}.", remedy=remedy)

    def digest(self) -> str:
        """A hash of documents, revisions, and status, fingerprint, error code and facts of each stage.

        Times, attempts, leases and history do not count.
        """
        hasher = hashlib.sha256()
        for each in self._states.every(ALL_FACTS):
            document = each.document
            lines = [f"{document.id} {document.revision} {document.size_bytes} {document.suffix}"]
            for stage in Stage:
                state = each.recorded.get(stage)
                if state is None or state.status in (Status.PENDING, Status.RUNNING):
                    continue
                facts = {key: value for key, value in state.facts.items() if key not in _NOT_IN_DIGEST}
                code = state.failure.code if state.failure else ""
                lines.append(f"{stage} {state.status} {state.fingerprint} {code} {json.dumps(facts, sort_keys=True)}")
            hasher.update("\n".join(lines).encode("utf-8", "surrogateescape") + b"\n")
        return hasher.hexdigest()

    def _done_with(
        self, fact: str, stages: Iterable[Stage], only: Collection[Document] | None
    ) -> Iterator[tuple[sa.Row[Any], Mapping[str, Any]]]:
        """The states that are done and have this fact, by document and stage, with all their facts."""
        query = (
            sa.select(stage_states.c.document_id, stage_states.c.stage, stage_states.c.facts)
            .join(documents, documents.c.id == stage_states.c.document_id)
            .where(stage_states.c.stage.in_([str(stage) for stage in stages]))
            .where(stage_states.c.status == str(Status.DONE), ~documents.c.deleted)
            .where(stage_states.c.facts.contains(f'"{fact}"'))
            .order_by(stage_states.c.document_id, stage_states.c.stage)
        )
        wanted = None if only is None else {document.id for document in only}
        with read(self._engine) as connection:
            found = [row for row in connection.execute(query) if wanted is None or row.document_id in wanted]
        for row in found:
            facts = object_in(row.facts, FACTS)
            if fact in facts:
                yield row, facts

    def _read(self, only: Collection[Document] | None, facts: frozenset[Stage]) -> Iterator[DocumentState]:
        return self._states.every(facts) if only is None else self._states.of(only, facts)
