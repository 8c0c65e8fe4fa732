"""Which documents a run would do something for, asked of a hundred thousand within seconds.

Belongs here: the lean query over documents and states, tombstones.
Does not belong here: the rule (`domain/watching.py`), lost artifacts, which only looking finds (`catalog_reports.py`).
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine, Row

from aegis_dagster.domain.fingerprints import Identities, digest_of, wanted_fingerprints
from aegis_dagster.domain.identifiers import CollectionName, DocumentId, Revision
from aegis_dagster.domain.stages import UPSTREAM_FAILED, Document, Failure, Stage, StageState, Status
from aegis_dagster.domain.watching import Waiting, has_work, only_embedding_is_stale
from aegis_dagster.errors import FailureCode
from aegis_dagster.stores.catalog_schema import documents, stage_states
from aegis_dagster.stores.database import read

_AT_ONCE = 5000  # rows fetched
_LEFT_OUT = (Status.SKIPPED, "")  # and not because an earlier stage failed


class WorkLeft:
    """What is to be done, by collection."""

    def __init__(self, engine: Engine, identities: Identities) -> None:
        self._engine = engine
        self._identities = identities

    def mark(self) -> str:
        """Changes whenever documents, states or what the stages depend on do. Takes a moment where the rest takes
        seconds.
        """
        d, s = documents.c, stage_states.c
        listed = sa.select(sa.func.count(), sa.func.max(d.changed_ms), sa.func.sum(sa.cast(d.deleted, sa.Integer)))
        reached = sa.select(s.stage, s.status, sa.func.count()).group_by(s.stage, s.status).order_by(s.stage, s.status)
        times = sa.select(sa.func.max(s.started_ms), sa.func.max(s.finished_ms))
        with read(self._engine) as connection:
            rows = [*connection.execute(listed), *connection.execute(reached), *connection.execute(times)]
        return digest_of(*(str(tuple(row)) for row in rows), repr(self._identities))

    def by_collection(self, now_ms: int, *, embed_anew: bool = True) -> dict[CollectionName, list[Waiting]]:
        """The documents of each collection that a run started now would do something for, by id.

        embed_anew: also those that only another embedding model gives something to do.
        """
        found: dict[CollectionName, list[Waiting]] = defaultdict(list)
        for rows in self._rows():
            document = _document(rows[0])
            if not self._plainly_done(document, rows) and self._has_work(document, rows, now_ms, embed_anew):
                found[document.collection].append(Waiting(document.id, rows[0].changed_ms, document.revision))
        return dict(found)

    def embedded_otherwise(self, now_ms: int) -> list[Document]:
        """Documents that were embedded, by another model, from other chunks or of other bytes than are wanted now.

        Without those that no run started now would do anything for.
        """
        found = []
        for rows in self._rows():
            document = _document(rows[0])
            if any(_was_embedded(row) for row in rows) and not self._plainly_done(document, rows):
                states = {Stage(row.stage): _state(row) for row in rows}
                wanted = wanted_fingerprints(document, self._identities, states)
                other = states[Stage.EMBED].fingerprint != wanted[Stage.EMBED]
                if other and self._has_work(document, rows, now_ms):
                    found.append(document)
        return found

    def _plainly_done(self, document: Document, rows: list[Row[Any]]) -> bool:
        """Whether every stage is done or left out under its wanted fingerprint: so it is with nearly all."""
        if len(rows) != len(Stage) or any(row[7] != Status.DONE and (row[7], row[12]) != _LEFT_OUT for row in rows):
            return False
        wanted = wanted_fingerprints(document, self._identities, {})
        return {(row[6], row[8]) for row in rows} == set(wanted.items())

    def _has_work(self, document: Document, rows: list[Row[Any]], now_ms: int, embed_anew: bool = True) -> bool:
        reached = [row for row in rows if row.stage is not None]
        states = {Stage(row.stage): _state(row) for row in reached}
        wanted = wanted_fingerprints(document, self._identities, states)
        if not embed_anew and only_embedding_is_stale(states, wanted):
            return False
        return has_work(states, wanted, {Stage(row.stage): row.finished_ms or 0 for row in reached}, now_ms)

    def deleted(self) -> dict[CollectionName, list[Waiting]]:
        """Deleted documents whose traces are still to be removed, by collection."""
        query = sa.select(documents).where(documents.c.deleted).order_by(documents.c.id)
        found: dict[CollectionName, list[Waiting]] = defaultdict(list)
        with read(self._engine) as connection:
            for row in connection.execute(query):
                waiting = Waiting(DocumentId(row.id), row.changed_ms, row.revision)
                found[CollectionName(row.collection)].append(waiting)
        return dict(found)

    def anything_embedded(self) -> bool:
        """Whether some document counts as done at embed."""
        query = sa.select(sa.literal(1)).where(
            stage_states.c.stage == str(Stage.EMBED), stage_states.c.status == str(Status.DONE)
        )
        with read(self._engine) as connection:
            return connection.execute(query.limit(1)).first() is not None

    def _rows(self) -> Iterator[list[Row[Any]]]:
        """The rows of each document together, one for each stage it reached, or one without a stage."""
        d, s = documents.c, stage_states.c
        facts = sa.case(
            (s.status == str(Status.DEFERRED), s.facts),
            (sa.and_(s.status == str(Status.SKIPPED), s.facts.contains(UPSTREAM_FAILED)), s.facts),
            else_="",
        )
        query = (
            sa.select(
                *(d.id, d.collection, d.revision, d.size_bytes, d.suffix, d.changed_ms),
                *(s.stage, s.status, s.fingerprint, s.attempts, s.retryable, s.finished_ms, facts.label("facts")),
            )
            .select_from(documents.outerjoin(stage_states, s.document_id == d.id))
            .where(~d.deleted)
            .order_by(d.id)
        )
        with read(self._engine) as connection:
            together: list[Row[Any]] = []
            for row in connection.execution_options(yield_per=_AT_ONCE).execute(query):
                if together and together[0][0] != row[0]:
                    yield together
                    together = []
                together.append(row)
            if together:
                yield together


def _was_embedded(row: Row[Any]) -> bool:
    """Whether it tells of points, or of an attempt to make some: not of a document that an earlier stage lost."""
    return row.stage == Stage.EMBED and not (row.status == Status.SKIPPED and row.facts)


def _document(row: Row[Any]) -> Document:
    document_id, collection, revision, size_bytes, suffix = row[:5]
    return Document(DocumentId(document_id), CollectionName(collection), Revision(revision), size_bytes, suffix)


def _state(row: Row[Any]) -> StageState:
    """What the rule needs of a state: of a failure, whether it may go away."""
    failure = None
    if row.status == Status.FAILED:
        failure = Failure(FailureCode.INTERNAL_ERROR, "", "", bool(row.retryable))
    facts = json.loads(row.facts) if row.facts else {}  # only those that decide what is next
    return StageState(Status(row.status), row.fingerprint, row.attempts, failure, facts)
