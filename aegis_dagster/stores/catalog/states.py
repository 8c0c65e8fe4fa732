"""Reads documents with their states, one row per document, so that a hundred thousand take seconds."""

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from aegis_dagster.domain.document_state import DocumentState
from aegis_dagster.domain.fingerprints import Identities, fingerprints_of, wanted_fingerprints
from aegis_dagster.domain.identifiers import CollectionName, DocumentId, Revision
from aegis_dagster.domain.stages import CUT_AT, UPSTREAM_FAILED, Document, Stage, Status
from aegis_dagster.errors import FailureCode
from aegis_dagster.stores.catalog.claims import SLICE, slices, state_of
from aegis_dagster.stores.catalog.schema import documents, stage_states
from aegis_dagster.stores.catalog.statements import STATE_COLUMNS
from aegis_dagster.stores.database import read

_AT_ONCE = 1000  # rows per fetch; the rows of 100,000 documents are never in memory together
_D = documents.c
_OWN = (_D.id, _D.collection, _D.revision, _D.size_bytes, _D.suffix, _D.changed_ms, _D.mail, _D.context)
_DESCRIBES = 5  # columns of a document that its fingerprints depend on
_WIDTH = len(STATE_COLUMNS)
_PLACES = tuple((stage, len(_OWN) + place * _WIDTH) for place, stage in enumerate(Stage))
_NOTHING = (None,) * (len(_OWN) + len(_PLACES) * _WIDTH)
ALL_FACTS = frozenset(Stage)
_NO_FACTS: frozenset[Stage] = frozenset()


class DocumentStates:
    """Documents with a snapshot of their states, and the fingerprints wanted now."""

    def __init__(self, engine: Engine, identities: Identities) -> None:
        self._engine = engine
        self._identities = identities

    def every(self, facts: frozenset[Stage] = _NO_FACTS) -> Iterator[DocumentState]:
        """All documents except deleted ones, in the order of their ids.

        facts: the stages whose facts are read completely; for other stages only the facts that decide the next step
        are read, because facts are most of the data.
        """
        query = _query(facts).where(~_D.deleted).order_by(_D.id)
        with read(self._engine) as connection:
            for row in connection.execution_options(yield_per=_AT_ONCE).execute(query):
                yield self._state(_document(row), row)

    def unsettled(self) -> Iterator[DocumentState]:
        """Those of `every` that are not plainly done at each stage, in no order: of a million documents a few.

        What is plainly done is told from five fingerprints, without an object for the document or its states.
        """
        rest: list[str] = []
        identities = self._identities
        query = _plainly_done(frozenset(identities.answer_tokens))
        with read(self._engine) as connection:
            for row in connection.execute(query, execution_options={"yield_per": _AT_ONCE}):
                if row[_DESCRIBES:] != fingerprints_of(identities, *row[:_DESCRIBES]):
                    rest.append(row[0])
                    if len(rest) == SLICE:
                        yield from self._among(connection, rest)
                        rest = []
            yield from self._among(connection, rest)

    def _among(self, connection: Connection, ids: Sequence[str]) -> Iterator[DocumentState]:
        if ids:
            for row in connection.execute(_query(_NO_FACTS).where(_D.id.in_(ids))):
                yield self._state(_document(row), row)

    def of(self, chosen: Collection[Document], facts: frozenset[Stage] = ALL_FACTS) -> Iterator[DocumentState]:
        """These documents in the order of their ids, with the revisions given."""
        given = {document.id: document for document in sorted(chosen, key=lambda document: document.id)}
        with read(self._engine) as connection:
            for part in slices(given):
                query = _query(facts).where(_D.id.in_(part))
                rows: dict[str, Sequence[Any]] = {row[0]: row for row in connection.execute(query)}
                for document_id in part:
                    yield self._state(given[document_id], rows.get(document_id, _NOTHING))

    def one(self, document: Document) -> DocumentState:
        """One document, with all facts."""
        return next(self.of([document]))

    def _state(self, document: Document, row: Sequence[Any]) -> DocumentState:
        recorded = {stage: state_of(*row[at : at + _WIDTH]) for stage, at in _PLACES if row[at] is not None}
        wanted = wanted_fingerprints(document, self._identities, recorded)
        edited = row[0] is not None and row[2] != document.revision
        now = self._identities
        return DocumentState(document, recorded, wanted, row[5] or 0, edited, now.limits, now.answer_tokens)


@cache
def _query(facts: frozenset[Stage]) -> sa.Select[Any]:
    """One row per document: its columns, then those of its state at each stage, None if there is no state."""
    selected: list[sa.ColumnElement[Any]] = list(_OWN)
    tables: sa.FromClause = documents
    for stage in Stage:
        state = stage_states.alias(stage.value)
        tables = tables.outerjoin(state, (state.c.document_id == _D.id) & (state.c.stage == stage.value))
        columns = [*(state.c[name] for name in STATE_COLUMNS[:-1]), _facts(state, stage, every=stage in facts)]
        selected += [column.label(f"{stage}_{number}") for number, column in enumerate(columns)]
    return sa.select(*selected).select_from(tables)


@cache
def _plainly_done(asking: frozenset[Stage]) -> sa.Select[Any]:
    """One row per document: what its fingerprints depend on, and its fingerprint at each stage that is plainly done.

    asking: stages whose results with cut answers are not: the answers may be longer now.
    """
    selected: list[sa.ColumnElement[Any]] = [_D.id, _D.collection, _D.revision, _D.suffix, _D.context]
    assert len(selected) == _DESCRIBES
    tables: sa.FromClause = documents
    for stage in Stage:
        state = stage_states.alias(stage.value)
        tables = tables.outerjoin(state, (state.c.document_id == _D.id) & (state.c.stage == stage.value))
        skipped = sa.and_(state.c.status == Status.SKIPPED.value, ~state.c.facts.contains(UPSTREAM_FAILED))
        plain = sa.or_(state.c.status == Status.DONE.value, skipped)
        if stage in asking:
            plain = sa.and_(plain, ~state.c.facts.contains(CUT_AT))
        selected.append(sa.case((plain, state.c.fingerprint)).label(f"{stage}_done"))
    return sa.select(*selected).select_from(tables).where(~_D.deleted)


def _facts(state: sa.FromClause, stage: Stage, *, every: bool) -> sa.ColumnElement[Any]:
    if every:
        return state.c.facts
    blocked = sa.and_(state.c.status == Status.SKIPPED.value, state.c.facts.contains(UPSTREAM_FAILED))
    refused = sa.and_(state.c.status == Status.FAILED.value, state.c.error_code == FailureCode.OVER_LIMIT.value)
    decides = [state.c.status == Status.DEFERRED.value, blocked, refused]
    if stage in (Stage.ENRICH, Stage.GRAPH):
        decides.append(state.c.facts.contains(CUT_AT))
    return sa.case((sa.or_(*decides), state.c.facts), else_="{}")


def _document(row: Row[Any]) -> Document:
    document_id, collection, revision, size_bytes, suffix, _, mail, context = row[: len(_OWN)]
    return Document(
        DocumentId(document_id),
        CollectionName(collection),
        Revision(revision),
        size_bytes,
        suffix,
        DocumentId(mail),
        context,
    )
