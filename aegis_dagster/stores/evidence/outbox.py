"""The outbox: changes of the graph that a view does not hold yet.

A publisher takes changes, writes them to its view and confirms them. If it is killed, it takes the same changes
again, so its writes must be idempotent. Only one publisher may run: an older one would overwrite newer data.
Changes that were taken have an unknown state until confirmed, so nothing that may have reached a view is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from aegis_dagster.domain.aggregation import Entity, Relation, relation_key, split_relation_key
from aegis_dagster.stores.database import write
from aegis_dagster.stores.evidence.aggregates import entity_of, relation_of, slices
from aegis_dagster.stores.evidence.schema import GONE, IN_FLIGHT, UNPUBLISHED, entities, relations


@dataclass(frozen=True, slots=True)
class Publication:
    """Changes to write to a view in this order, so that every relation has both its entities at any time."""

    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()
    deleted_relations: tuple[tuple[str, str], ...] = ()  # keys of source and target
    deleted_entities: tuple[str, ...] = ()  # keys

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.entities or self.relations or self.deleted_relations or self.deleted_entities)


class EvidenceOutbox:
    """Entities and relations to publish to a view."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def pending_publications(self, limit: int) -> Publication:
        """Take at most `limit` changes. Empty: the view is up to date. Raises ServiceError."""
        with write(self._engine) as connection:
            upserted = _take(connection, entities, entities.c.hash != GONE, limit)
            limit -= len(upserted)
            related = _take(connection, relations, relations.c.hash != GONE, limit)
            limit -= len(related)
            unrelated = _take(connection, relations, relations.c.hash == GONE, limit)
            limit -= len(unrelated)
            deleted = _take(connection, entities, entities.c.hash == GONE, limit)
        return Publication(
            tuple(entity_of(row) for row in upserted),
            tuple(relation_of(row) for row in related),
            tuple(split_relation_key(row.key) for row in unrelated),
            tuple(row.key for row in deleted),
        )

    def mark_published(self, publication: Publication) -> None:
        """Record that the view now holds these changes. Later changes stay pending. Raises ServiceError."""
        with write(self._engine) as connection:
            _confirm(connection, entities, publication.entities)
            _confirm(connection, relations, publication.relations)
            _bury(connection, relations, [relation_key(*pair) for pair in publication.deleted_relations])
            _bury(connection, entities, publication.deleted_entities)


def _take(
    connection: Connection, table: sa.Table, condition: sa.ColumnElement[bool], limit: int
) -> Sequence[sa.Row[tuple[object, ...]]]:
    query = sa.select(table).where(table.c.published_hash != table.c.hash, condition).order_by(table.c.key).limit(limit)
    rows = connection.execute(query).all()
    for part in slices([row.key for row in rows]):
        connection.execute(sa.update(table).where(table.c.key.in_(part)).values(published_hash=IN_FLIGHT))
    return rows


def _confirm(connection: Connection, table: sa.Table, values: Sequence[Entity] | Sequence[Relation]) -> None:
    if not values:
        return
    key: sa.BindParameter[str] = sa.bindparam("confirmed_key")
    held: sa.BindParameter[str] = sa.bindparam("held")
    statement = sa.update(table).where(table.c.key == key, table.c.published_hash == IN_FLIGHT)
    rows = [{"confirmed_key": value.key, "held": value.content_hash()} for value in values]
    connection.execute(statement.values(published_hash=held), rows)


def _bury(connection: Connection, table: sa.Table, keys: Sequence[str]) -> None:
    """Remove tombstones that the view has dropped. A key that has evidence again counts as unpublished."""
    for part in slices(keys):
        named = sa.and_(table.c.key.in_(part), table.c.published_hash == IN_FLIGHT)
        connection.execute(sa.delete(table).where(named, table.c.hash == GONE))
        connection.execute(sa.update(table).where(named).values(published_hash=UNPUBLISHED))
