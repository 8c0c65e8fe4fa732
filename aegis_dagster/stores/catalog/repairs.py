"""What the catalog says must exist in other stores, and how it records that something there is damaged."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.domain.stages import ARTIFACT_STAGES, Failure, Stage, Status
from aegis_dagster.ports import Clock
from aegis_dagster.stores.catalog.claims import FACTS, slices
from aegis_dagster.stores.catalog.schema import documents, stage_states
from aegis_dagster.stores.database import object_in, read, write

_S = stage_states.c


@dataclass(frozen=True, slots=True)
class Published:
    """A document whose points the vector store should hold."""

    collection: CollectionName
    points: int
    model: str
    fingerprint: str


class CatalogRepairs:
    """Reads and resets what is done, by the catalog. A document that is worked on now is left alone."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def artifacts(self) -> dict[tuple[Stage, str], list[DocumentId]]:
        """Every artifact that must exist, with the documents that use it."""
        query = self._done(_S.document_id, _S.stage, _S.fingerprint).where(_S.stage.in_(list(ARTIFACT_STAGES)))
        found: dict[tuple[Stage, str], list[DocumentId]] = {}
        with read(self._engine) as connection:
            for row in connection.execute(query.order_by(_S.stage, _S.fingerprint, _S.document_id)):
                found.setdefault((Stage(row.stage), row.fingerprint), []).append(DocumentId(row.document_id))
        return found

    def published(self) -> dict[DocumentId, Published]:
        """Every document that is embedded."""
        query = self._done(_S.document_id, documents.c.collection, _S.fingerprint, _S.facts)
        found = {}
        with read(self._engine) as connection:
            for row in connection.execute(query.where(_S.stage == Stage.EMBED)):
                facts = object_in(row.facts, FACTS)
                found[DocumentId(row.document_id)] = Published(
                    CollectionName(row.collection),
                    int(facts.get("points", 0)),
                    str(facts.get("model", "")),
                    row.fingerprint,
                )
        return found

    def published_points(self) -> int:
        """The points of all documents that are embedded. Most have the same facts, so few are read."""
        query = self._done(_S.facts, sa.func.count().label("documents")).where(_S.stage == Stage.EMBED)
        with read(self._engine) as connection:
            found = connection.execute(query.group_by(_S.facts)).all()
        return sum(int(object_in(row.facts, FACTS).get("points", 0)) * row.documents for row in found)

    def reset_artifact(self, stage: Stage, fingerprint: str, failure: Failure) -> int:
        """Record a damaged artifact as a failure that the next run mends. Returns for how many documents."""
        now = int(self._clock.now().timestamp() * 1000)
        update = (
            sa.update(stage_states)
            .where(_S.stage == stage, _S.fingerprint == fingerprint, _S.status == Status.DONE)
            .values(
                status=Status.FAILED,
                attempts=0,
                error_code=failure.code,
                error_message=failure.message,
                error_remedy=failure.remedy,
                retryable=True,
                finished_ms=now,
            )
        )
        with write(self._engine) as connection:
            return connection.execute(update).rowcount

    def reset_embedding(self, ids: Collection[DocumentId]) -> None:
        """Let the next run publish these documents again, from the cache."""
        with write(self._engine) as connection:
            for part in slices(ids):
                connection.execute(
                    sa.update(stage_states)
                    .where(_S.stage == Stage.EMBED, _S.status == Status.DONE, _S.document_id.in_(part))
                    .values(status=Status.PENDING, attempts=0)
                )

    def _done(self, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
        joined = stage_states.join(documents, documents.c.id == _S.document_id)
        return sa.select(*columns).select_from(joined).where(_S.status == Status.DONE, ~documents.c.deleted)
