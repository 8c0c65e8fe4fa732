"""Reads the graph: an entity, its relations, and the passages that mention it."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from aegis_dagster.domain.aggregation import Entity, Relation, entity_key
from aegis_dagster.domain.descriptions import Said, statements_of
from aegis_dagster.domain.evidence import GraphSize
from aegis_dagster.domain.identifiers import ChunkId, DocumentId
from aegis_dagster.errors import UnknownDocument
from aegis_dagster.stores.database import read
from aegis_dagster.stores.evidence.aggregates import entity_of, relation_of, slices
from aegis_dagster.stores.evidence.schema import GONE, entities, entity_mentions, relation_evidence, relations

_SUGGESTIONS = 5
_CANDIDATES = 500  # keys compared with a misspelt name
_STEM_CHARACTERS = 4  # candidates share this many first characters with a misspelt word


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entity at the other end of a relation, and the relation."""

    entity: Entity
    relation: Relation

    @property
    def outgoing(self) -> bool:
        """Whether the neighbour is the relation's target."""
        return self.relation.target_key == self.entity.key


@dataclass(frozen=True, slots=True)
class Sourced:
    """A text of a description with the passage that says it; of several, the first by document and chunk id."""

    text: str
    passage: "Passage"
    documents: int  # how many say it


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that mentions an entity."""

    document_id: DocumentId
    chunk_id: ChunkId


class EvidenceQueries:
    """Read access to entities, relations and their passages."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find_entity(self, name: str) -> Entity:
        """The entity with this name, ignoring case, width and white space.

        Raises UnknownDocument, whose remedy names similar entities; ServiceError.
        """
        with read(self._engine) as connection:
            query = sa.select(entities).where(entities.c.key == entity_key(name), entities.c.hash != GONE)
            if row := connection.execute(query).first():
                return entity_of(row)
            similar = _similar(connection, entity_key(name))
        remedy = f"did you mean {', '.join(similar)}?" if similar else "ingest documents that mention it."
        raise UnknownDocument(f"No entity is called {name!r}.", remedy=remedy)

    def neighbours(self, entity: Entity, limit: int) -> tuple[Neighbour, ...]:
        """The related entities, by descending weight. Raises ServiceError."""
        near = sa.or_(relations.c.source_key == entity.key, relations.c.target_key == entity.key)
        query = sa.select(relations).where(near, relations.c.hash != GONE)
        query = query.order_by(relations.c.weight_milli.desc(), relations.c.key).limit(limit)
        with read(self._engine) as connection:
            found = [relation_of(row) for row in connection.execute(query)]
            other = {
                relation: relation.target_key if relation.source_key == entity.key else relation.source_key
                for relation in found
            }
            ends = _entities(connection, sorted(set(other.values())))
        return tuple(Neighbour(ends[key], relation) for relation, key in other.items())

    def passages(self, entity: Entity, limit: int) -> tuple[Passage, ...]:
        """The passages that mention it, in the order of document and chunk id. Raises ServiceError."""
        table = entity_mentions
        query = sa.select(table.c.document_id, table.c.chunk_id).where(table.c.key == entity.key)
        query = query.order_by(table.c.document_id, table.c.chunk_id).limit(limit)
        with read(self._engine) as connection:
            return tuple(Passage(row.document_id, row.chunk_id) for row in connection.execute(query))

    def sources(self, entity: Entity) -> list[Sourced]:
        """Each text of its description, with its source. Raises ServiceError."""
        return self._sources(entity_mentions, [entity.key])[entity.key]

    def sources_of_relations(self, found: Iterable[Neighbour]) -> dict[str, list[Sourced]]:
        """Each text of the relations' descriptions, by relation key. Raises ServiceError."""
        return self._sources(relation_evidence, [each.relation.key for each in found])

    def _sources(self, table: sa.Table, keys: Sequence[str]) -> dict[str, list[Sourced]]:
        place = (table.c.key, table.c.document_id, table.c.description)
        query = sa.select(*place, sa.func.min(table.c.chunk_id).label("chunk_id")).group_by(*place)
        chunks: dict[str, dict[Said, ChunkId]] = {key: {} for key in keys}
        with read(self._engine) as connection:
            for part in slices(keys):
                for row in connection.execute(query.where(table.c.key.in_(part), table.c.description != "")):
                    chunks[row.key][Said(row.document_id, row.description)] = row.chunk_id
        return {
            key: [
                Sourced(
                    each.text,
                    Passage(DocumentId(each.document_id), said[Said(each.document_id, each.whole)]),
                    each.documents,
                )
                for each in statements_of(said)
            ]
            for key, said in chunks.items()
        }

    def biggest_entities(self, limit: int) -> tuple[Entity, ...]:
        """The entities that most chunks mention, in descending order. Raises ServiceError."""
        query = sa.select(entities).where(entities.c.hash != GONE)
        query = query.order_by(entities.c.chunk_count.desc(), entities.c.key).limit(limit)
        with read(self._engine) as connection:
            return tuple(entity_of(row) for row in connection.execute(query))

    def size(self) -> GraphSize:
        """The number of entities and relations. Raises ServiceError."""
        with read(self._engine) as connection:
            counts = (
                connection.execute(sa.select(sa.func.count()).where(table.c.hash != GONE)).scalar_one()
                for table in (entities, relations)
            )
            return GraphSize(*counts)


def _entities(connection: Connection, keys: list[str]) -> dict[str, Entity]:
    found: dict[str, Entity] = {}
    for part in slices(keys):
        query = sa.select(entities).where(entities.c.key.in_(part))
        found.update({row.key: entity_of(row) for row in connection.execute(query)})
    return found


def _similar(connection: Connection, key: str) -> tuple[str, ...]:
    """Similar keys among those of the biggest entities that share the beginning of a word with the given key."""
    stems = {word[:_STEM_CHARACTERS] for word in key.split()}
    if not stems:
        return ()
    alike = sa.or_(*(entities.c.key.contains(stem, autoescape=True) for stem in sorted(stems)))
    query = sa.select(entities.c.key, entities.c.name).where(alike, entities.c.hash != GONE)
    query = query.order_by(entities.c.chunk_count.desc(), entities.c.key).limit(_CANDIDATES)
    names = {row.key: row.name for row in connection.execute(query)}
    ratio = {candidate: difflib.SequenceMatcher(None, key, candidate).ratio() for candidate in names}
    return tuple(names[candidate] for candidate in sorted(names, key=lambda one: (-ratio[one], one))[:_SUGGESTIONS])
