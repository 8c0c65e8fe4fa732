"""Which documents a run would do something for, asked of a hundred thousand within seconds."""

from collections import defaultdict
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from aegis_dagster.domain.fingerprints import Identities, digest_of
from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.domain.run_requests import Waiting
from aegis_dagster.domain.stages import UPSTREAM_FAILED, Document, Stage, StageState, Status
from aegis_dagster.domain.staleness import has_work, only_embedding_is_stale
from aegis_dagster.ports import VectorStore
from aegis_dagster.stores.catalog.schema import documents, stage_states
from aegis_dagster.stores.catalog.states import Reached, StateRows
from aegis_dagster.stores.database import read


class WorkLeft:
    """What is to be done, by collection."""

    def __init__(self, engine: Engine, identities: Identities) -> None:
        self._engine = engine
        self._identities = identities
        self._rows = StateRows(engine, identities)

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
        for reached in self._rows.every():
            if not reached.plainly_done() and _has_work(reached, reached.states(), now_ms, embed_anew):
                document = reached.document
                found[document.collection].append(Waiting(document.id, reached.changed_ms, document.revision))
        return dict(found)

    def embedded_otherwise(self, now_ms: int) -> list[Document]:
        """Documents that were embedded, by another model, from other chunks or of other bytes than are wanted now.

        Without those that no run started now would do anything for.
        """
        found = []
        for reached in self._rows.every():
            if reached.plainly_done():
                continue
            states = reached.states()
            other = _was_embedded(states) and states[Stage.EMBED].fingerprint != reached.wanted[Stage.EMBED]
            if other and _has_work(reached, states, now_ms):
                found.append(reached.document)
        return found

    def deleted(self) -> dict[CollectionName, list[Waiting]]:
        """Deleted documents whose traces are still to be removed, by collection."""
        query = sa.select(documents).where(documents.c.deleted).order_by(documents.c.id)
        found: dict[CollectionName, list[Waiting]] = defaultdict(list)
        with read(self._engine) as connection:
            for row in connection.execute(query):
                waiting = Waiting(DocumentId(row.id), row.changed_ms, row.revision)
                found[CollectionName(row.collection)].append(waiting)
        return dict(found)

    def vectors_are_lost(self, vectors: VectorStore) -> bool:
        """Whether somebody deleted the vector store: there is none, and some document counts as done at embed."""
        if vectors.exists():
            return False
        query = sa.select(sa.literal(1)).where(
            stage_states.c.stage == str(Stage.EMBED), stage_states.c.status == str(Status.DONE)
        )
        with read(self._engine) as connection:
            return connection.execute(query.limit(1)).first() is not None


def _has_work(reached: Reached, states: Mapping[Stage, StageState], now_ms: int, embed_anew: bool = True) -> bool:
    if not embed_anew and only_embedding_is_stale(states, reached.wanted):
        return False
    return has_work(states, reached.wanted, reached.finished_ms(), now_ms)


def _was_embedded(states: Mapping[Stage, StageState]) -> bool:
    """Whether it has points, or there was an attempt to make some: not where an earlier stage lost the document."""
    embedded = states.get(Stage.EMBED)
    return embedded is not None and not (embedded.status is Status.SKIPPED and UPSTREAM_FAILED in embedded.facts)
