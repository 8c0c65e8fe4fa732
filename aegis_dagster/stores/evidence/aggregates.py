"""Keeps entities and relations equal to their evidence, inside the caller's transaction."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from aegis_dagster.domain.aggregation import (
    Entity,
    MentionGroup,
    Relation,
    RelationGroup,
    aggregate_entity,
    aggregate_relation,
    hash_of,
    values_of,
)
from aegis_dagster.domain.descriptions import Said
from aegis_dagster.stores.database import upsert, write_rows
from aegis_dagster.stores.evidence.schema import (
    GONE,
    OUTDATED,
    UNPUBLISHED,
    entities,
    entity_mentions,
    relation_evidence,
    relations,
)

SLICE = 500  # keys in one statement; SQLite allows 32,766 variables


Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class AggregateKind:
    """A table of evidence and the table aggregated from it."""

    evidence: sa.Table
    aggregates: sa.Table
    compute: Callable[[Connection, Sequence[str]], dict[str, Entity] | dict[str, Relation]]
    compute_one: Callable[[str, Rows], Entity | Relation]  # from all rows of evidence about a key


def slices(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """The keys in parts that fit into one statement."""
    for start in range(0, len(keys), SLICE):
        yield keys[start : start + SLICE]


def computed_entities(connection: Connection, keys: Sequence[str]) -> dict[str, Entity]:
    """The entities aggregated from the evidence for at most `SLICE` keys; keys without evidence are absent."""
    table = entity_mentions
    groups: defaultdict[str, list[MentionGroup]] = defaultdict(list)
    for row in connection.execute(_grouped(table, (table.c.key, table.c.name, table.c.type), keys)):
        groups[row.key].append(MentionGroup(row.name, row.type, row.chunks, int(row.marks)))
    documents, said = _documents(connection, table, keys)
    return {key: aggregate_entity(key, groups[key], said[key], documents[key]) for key in groups}


def computed_relations(connection: Connection, keys: Sequence[str]) -> dict[str, Relation]:
    """The relations aggregated from the evidence for at most `SLICE` keys; keys without evidence are absent."""
    table = relation_evidence
    groups: defaultdict[str, list[RelationGroup]] = defaultdict(list)
    query = _grouped(table, (table.c.key, table.c.keywords), keys)
    for row in connection.execute(query.add_columns(sa.func.sum(table.c.weight_milli).label("weight_milli"))):
        groups[row.key].append(RelationGroup(row.keywords, row.chunks, int(row.marks), int(row.weight_milli)))
    documents, said = _documents(connection, table, keys)
    return {key: aggregate_relation(key, groups[key], said[key], documents[key]) for key in groups}


def _entity(key: str, rows: Rows) -> Entity:
    groups = [MentionGroup(row["name"], row["type"], 1, row["chunk_mark"]) for row in rows]
    return aggregate_entity(key, groups, *_said_in(rows))


def _relation(key: str, rows: Rows) -> Relation:
    groups = [RelationGroup(row["keywords"], 1, row["chunk_mark"], row["weight_milli"]) for row in rows]
    return aggregate_relation(key, groups, *_said_in(rows))


def _said_in(rows: Rows) -> tuple[list[Said], int]:
    """What the documents say, and how many they are."""
    said = [Said(row["document_id"], row["description"]) for row in rows if row["description"]]
    return said, len({row["document_id"] for row in rows})


ENTITIES = AggregateKind(entity_mentions, entities, computed_entities, _entity)
RELATIONS = AggregateKind(relation_evidence, relations, computed_relations, _relation)
KINDS = (ENTITIES, RELATIONS)


def refresh(
    connection: Connection, kind: AggregateKind, keys: Iterable[str], inserted: Sequence[dict[str, Any]] = ()
) -> None:
    """Make the aggregates of these keys equal to their evidence. Writes only rows that differ.

    inserted: evidence that this transaction has inserted. A key without an aggregate has no other evidence, so that is
    not read again; in a first ingestion these are most.
    """
    table = kind.aggregates
    new: defaultdict[str, Rows] = defaultdict(list)
    for row in inserted:
        new[row["key"]].append(row)
    for part in slices(sorted({*keys, *new})):
        query = sa.select(table.c.key, table.c.hash).where(table.c.key.in_(part))
        stored: dict[str, str] = {row.key: row.hash for row in connection.execute(query)}
        known = [key for key in part if key in stored or key not in new]
        wanted: dict[str, Any] = dict(kind.compute(connection, known)) if known else {}
        wanted.update({key: kind.compute_one(key, new[key]) for key in part if key not in stored and key in new})
        rows = [aggregate_row(value) for value in wanted.values()]
        changed = [row for row in rows if stored.get(row["key"]) != row["hash"]]
        if changed:
            insert = upsert(connection, table)
            replaced = {name: insert.excluded[name] for name in changed[0] if name != "key"}
            for row in changed:
                row["published_hash"] = UNPUBLISHED  # of a new one; others keep theirs
            write_rows(connection, insert.on_conflict_do_update(index_elements=[table.c.key], set_=replaced), changed)
        gone = [key for key, present in stored.items() if key not in wanted and present != GONE]
        if gone:
            _remove(connection, table, gone)


def refresh_outdated(connection: Connection) -> bool:
    """Aggregate some of what an older version aggregated by other rules. Returns whether there may be more."""
    outdated = (
        sa.select(sa.literal(number).label("kind"), kind.aggregates.c.key).where(kind.aggregates.c.hash == OUTDATED)
        for number, kind in enumerate(KINDS)
    )
    found = connection.execute(sa.union_all(*outdated).limit(SLICE)).all()
    for number, kind in enumerate(KINDS):
        refresh(connection, kind, [row.key for row in found if row.kind == number])
    return len(found) == SLICE


def aggregate_row(value: Entity | Relation) -> dict[str, Any]:
    """The table row of an aggregate, without `published_hash`."""
    values = values_of(value)
    return {"key": value.key, **dict(zip(value.__slots__, values, strict=True)), "hash": hash_of(values)}


def entity_of(row: Row[Any]) -> Entity:
    """The entity in a row of `entities`."""
    return Entity(row.key, row.name, row.type, row.description, row.chunk_count, row.document_count, row.sources)


def relation_of(row: Row[Any]) -> Relation:
    """The relation in a row of `relations`."""
    return Relation(
        row.source_key,
        row.target_key,
        row.keywords,
        row.description,
        row.weight_milli,
        row.chunk_count,
        row.document_count,
        row.sources,
    )


def _remove(connection: Connection, table: sa.Table, keys: Sequence[str]) -> None:
    """Remove aggregates. One that a view may hold stays as a tombstone until the view has dropped it."""
    named = table.c.key.in_(keys)
    connection.execute(sa.delete(table).where(named, table.c.published_hash == UNPUBLISHED))
    connection.execute(sa.update(table).where(named).values(hash=GONE))


def _grouped(table: sa.Table, said: tuple[sa.Column[Any], ...], keys: Sequence[str]) -> sa.Select[Any]:
    return (
        sa.select(
            *said,
            sa.func.count().label("chunks"),
            sa.func.sum(table.c.chunk_mark).label("marks"),
        )
        .where(table.c.key.in_(keys))
        .group_by(*said)
    )


def _documents(
    connection: Connection, table: sa.Table, keys: Sequence[str]
) -> tuple[dict[str, int], defaultdict[str, list[Said]]]:
    """How many documents name each key, and what they say about it, without blanks; in one statement."""
    columns = (table.c.key, table.c.document_id, table.c.description)
    said = sa.select(*columns, sa.literal(0).label("documents")).distinct().where(table.c.description != "")
    number = sa.func.count(table.c.document_id.distinct())
    counted = sa.select(table.c.key, sa.literal(""), sa.literal(""), number).group_by(table.c.key)
    here = table.c.key.in_(keys)
    counts: dict[str, int] = {}
    texts: defaultdict[str, list[Said]] = defaultdict(list)
    for row in connection.execute(sa.union_all(said.where(here), counted.where(here))):
        if row.documents:
            counts[row.key] = row.documents
        else:
            texts[row.key].append(Said(row.document_id, row.description))
    return counts, texts
