"""Finds the documents that have work for a run, among a million within seconds."""

from collections import defaultdict

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from aegis_dagster.domain.fingerprints import Identities, digest_of
from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.domain.run_requests import Waiting
from aegis_dagster.domain.stages import Document, Stage, Status
from aegis_dagster.ports import VectorStore
from aegis_dagster.stores.catalog.schema import documents, stage_states
from aegis_dagster.stores.catalog.states import DocumentStates
from aegis_dagster.stores.database import read


class WorkLeft:
    """The work left in the catalog, by collection."""

    def __init__(self, engine: Engine, identities: Identities) -> None:
        self._engine = engine
        self._identities = identities
        self._states = DocumentStates(engine, identities)

    def mark(self) -> str:
        """Changes whenever documents, states or the stages' identities do. Much faster than the other methods."""
        d, s = documents.c, stage_states.c
        listed = sa.select(sa.func.count(), sa.func.max(d.changed_ms), sa.func.sum(sa.cast(d.deleted, sa.Integer)))
        reached = sa.select(s.stage, s.status, sa.func.count()).group_by(s.stage, s.status).order_by(s.stage, s.status)
        times = sa.select(sa.func.max(s.started_ms), sa.func.max(s.finished_ms))
        with read(self._engine) as connection:
            rows = [*connection.execute(listed), *connection.execute(reached), *connection.execute(times)]
        return digest_of(*(str(tuple(row)) for row in rows), repr(self._identities))

    def by_collection(self, now_ms: int, *, embed_anew: bool = True) -> dict[CollectionName, list[Waiting]]:
        """The documents of each collection that have work for a run started now, in the order of their ids.

        embed_anew: include those whose only work comes from another embedding model.
        """
        found: dict[CollectionName, list[Waiting]] = defaultdict(list)
        for state in self._states.unsettled():
            if state.has_work(now_ms) and (embed_anew or not state.only_embedding_is_stale()):
                document = state.document
                found[document.collection].append(Waiting(document.id, state.changed_ms, document.revision))
        return {name: sorted(waiting, key=lambda one: one.id) for name, waiting in found.items()}

    def embedded_otherwise(self, now_ms: int) -> list[Document]:
        """Documents embedded by another model, from other chunks or from other bytes than are wanted now.

        Those without work for a run started now are omitted.
        """
        states = self._states.unsettled()
        found = [state.document for state in states if state.has_work(now_ms) and state.is_embedded_otherwise()]
        return sorted(found, key=lambda document: document.id)

    def deleted(self) -> dict[CollectionName, list[Waiting]]:
        """Deleted documents whose data still has to be removed, by collection."""
        query = sa.select(documents).where(documents.c.deleted).order_by(documents.c.id)
        found: dict[CollectionName, list[Waiting]] = defaultdict(list)
        with read(self._engine) as connection:
            for row in connection.execute(query):
                waiting = Waiting(DocumentId(row.id), row.changed_ms, row.revision)
                found[CollectionName(row.collection)].append(waiting)
        return dict(found)

    def vectors_are_lost(self, vectors: VectorStore) -> bool:
        """Whether the vector store was deleted: it does not exist, although some document is done at embed."""
        if vectors.exists():
            return False
        query = sa.select(sa.literal(1)).where(
            stage_states.c.stage == str(Stage.EMBED), stage_states.c.status == str(Status.DONE)
        )
        with read(self._engine) as connection:
            return connection.execute(query.limit(1)).first() is not None
