"""Documents with their states at all stages, one row each, so that a hundred thousand are read within seconds."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine, Row

from aegis_dagster.domain.fingerprints import Identities, wanted_fingerprints
from aegis_dagster.domain.identifiers import CollectionName, DocumentId, Revision
from aegis_dagster.domain.stages import ARTIFACT_STAGES, UPSTREAM_FAILED, Document, Stage, StageState, Status
from aegis_dagster.stores.catalog.claims import SLICE, STATUSES, state_of
from aegis_dagster.stores.catalog.schema import documents, stage_states
from aegis_dagster.stores.database import read

_AT_ONCE = 1000  # rows fetched; those of 100,000 documents are never in memory together
_D = documents.c
_OWN = (_D.id, _D.collection, _D.revision, _D.size_bytes, _D.suffix, _D.changed_ms)
_CHANGED = 5
_NAMES = ("status", "fingerprint", "attempts", "error_code", "error_message", "error_remedy", "retryable")
_FINGERPRINT, _FACTS, _FINISHED = 1, 7, 8  # from the status on
_WIDTH = 9
_PLACES = {stage: len(_OWN) + place * _WIDTH for place, stage in enumerate(Stage)}
_ENRICH = _PLACES[Stage.ENRICH]
_DONE, _SKIPPED, _FAILED, _DEFERRED = (
    status.value for status in (Status.DONE, Status.SKIPPED, Status.FAILED, Status.DEFERRED)
)

StateColumns = Callable[[Stage, sa.FromClause], Sequence[sa.ColumnElement[Any]]]


def with_states(own: Sequence[sa.ColumnElement[Any]], columns: StateColumns) -> sa.Select[Any]:
    """One row a document: its columns, and those of its states one stage after another, None where there is none."""
    selected = list(own)
    tables: sa.FromClause = documents
    for stage in Stage:
        state = stage_states.alias(stage.value)
        tables = tables.outerjoin(state, (state.c.document_id == _D.id) & (state.c.stage == stage.value))
        selected += [column.label(f"{stage}_{number}") for number, column in enumerate(columns(stage, state))]
    return sa.select(*selected).select_from(tables)


def _all_facts(_stage: Stage, state: sa.FromClause) -> list[sa.ColumnElement[Any]]:
    return [*(state.c[name] for name in _NAMES), state.c.facts, state.c.finished_ms]


def _deciding_facts(stage: Stage, state: sa.FromClause) -> list[sa.ColumnElement[Any]]:
    """Only the facts that say what is next: they are much of what there is to read."""
    blocked = sa.and_(state.c.status == _SKIPPED, state.c.facts.contains(UPSTREAM_FAILED))
    decide = sa.case((sa.or_(state.c.status == _DEFERRED, blocked), state.c.facts), else_="{}")
    return [*_all_facts(stage, state)[:_FACTS], decide, state.c.finished_ms]


_WITH_ALL_FACTS = with_states(_OWN, _all_facts)
_WITH_DECIDING_FACTS = with_states(_OWN, _deciding_facts)
_NOTHING = (None,) * (len(_OWN) + len(Stage) * _WIDTH)


class Reached:
    """A document, what it should have at each stage now, and what it has."""

    __slots__ = ("_row", "document", "wanted")

    def __init__(self, document: Document, identities: Identities, row: Sequence[Any]) -> None:
        self.document = document
        self._row = row
        self.wanted = wanted_fingerprints(document, identities, _enrichment(row))

    @property
    def changed_ms(self) -> int:
        """When its revision was recorded."""
        return int(self._row[_CHANGED])

    def states(self) -> dict[Stage, StageState]:
        """Its states at the stages it has reached."""
        row = self._row
        return {stage: state_of(*row[at : at + _FINISHED]) for stage, at in _PLACES.items() if row[at] is not None}

    def finished_ms(self) -> dict[Stage, int]:
        """When it ended at the stages it has reached; 0 where it did not."""
        row = self._row
        return {stage: row[at + _FINISHED] or 0 for stage, at in _PLACES.items() if row[at] is not None}

    def plainly_done(self) -> bool:
        """Whether every stage is done or left out under its wanted fingerprint: so it is with nearly all.

        Then it is up to date at every stage, also by the rule, which takes longer to ask.
        """
        row = self._row
        for stage, at in _PLACES.items():
            status = row[at]
            left_out = status == _SKIPPED and UPSTREAM_FAILED not in row[at + _FACTS]
            if row[at + _FINGERPRINT] != self.wanted[stage] or not (status == _DONE or left_out):
                return False
        return True

    def artifacts(self) -> list[tuple[Stage, str]]:
        """Those it should have, under their wanted fingerprints, where it is up to date."""
        return [(stage, self.wanted[stage]) for stage in ARTIFACT_STAGES if self._row[_PLACES[stage]] == _DONE]


class StateRows:
    """Reads documents with all their states, as they are at one moment."""

    def __init__(self, engine: Engine, identities: Identities, *, all_facts: bool = False) -> None:
        """all_facts: also those that do not decide what is next."""
        self._engine = engine
        self._identities = identities
        self._query = _WITH_ALL_FACTS if all_facts else _WITH_DECIDING_FACTS

    def every(self) -> Iterator[Reached]:
        """All documents but deleted ones, in the order of their ids."""
        query = self._query.where(~_D.deleted).order_by(_D.id)
        with read(self._engine) as connection:
            for row in connection.execution_options(yield_per=_AT_ONCE).execute(query):
                yield Reached(_document(row), self._identities, row)

    def of(self, chosen: Collection[Document]) -> Iterator[Reached]:
        """These documents, in the order of their ids, with the revisions that they are given with."""
        ordered = sorted(chosen, key=lambda document: document.id)
        with read(self._engine) as connection:
            for start in range(0, len(ordered), SLICE):
                part = ordered[start : start + SLICE]
                query = self._query.where(_D.id.in_([document.id for document in part]))
                rows: dict[str, Sequence[Any]] = {row[0]: row for row in connection.execute(query)}
                for document in part:
                    yield Reached(document, self._identities, rows.get(document.id, _NOTHING))


def _enrichment(row: Sequence[Any]) -> dict[Stage, StageState]:
    """The one state that fingerprints may depend on, where they do."""
    status = row[_ENRICH]
    if status not in (_FAILED, _DEFERRED):
        return {}
    return {Stage.ENRICH: StageState(STATUSES[status], row[_ENRICH + _FINGERPRINT])}


def _document(row: Row[Any]) -> Document:
    document_id, collection, revision, size_bytes, suffix = row[:_CHANGED]
    return Document(DocumentId(document_id), CollectionName(collection), Revision(revision), size_bytes, suffix)
