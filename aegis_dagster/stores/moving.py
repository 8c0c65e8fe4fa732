"""Copies all rows of a database into an empty one on a server, and compares them. A copy that was killed goes on.

Until everything is there, the target's revision is a word that no version takes for its own, so nobody works with half
a home. A table of notes, gone at the end, says whose copy it is and how far each table has come: each part is written
in one transaction with its note.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from aegis_dagster.domain.answers import storable
from aegis_dagster.errors import ConfigurationError, ServiceError
from aegis_dagster.ports import Progress
from aegis_dagster.stores.alerts.schema import alerts
from aegis_dagster.stores.catalog.schema import documents
from aegis_dagster.stores.database import (
    HEAD_REVISION,
    MOVING,
    exclusive,
    metadata,
    open_database,
    open_unchecked,
    read,
    revision_of,
    shown_database,
    write,
)
from aegis_dagster.stores.ledger.schema import llm_calls

assert {alerts.name, documents.name, llm_calls.name} <= metadata.tables.keys()  # the imports register all tables

_AT_ONCE = 2_000  # rows in one transaction
_notes = sa.Table(
    "aegis_move",
    sa.MetaData(),
    sa.Column("name", sa.Text, primary_key=True),  # of a table, or SOURCE
    sa.Column("value", sa.Text, nullable=False),  # JSON: the key of the last row
)
_SOURCE = "(source)"
_ANOTHER = "name an empty database: `createdb NAME` makes one."


@dataclass(frozen=True, slots=True)
class Contents:
    """What a table holds. Equal rows have an equal checksum, in whatever order a database keeps them."""

    rows: int
    checksum: str

    def to_json(self) -> dict[str, Any]:
        """The JSON values shown to people."""
        return {"rows": self.rows, "checksum": self.checksum}


def copy_database(source: Connection, url: str, name: str, progress: Progress) -> dict[str, Contents]:
    """Copy every table to the database at a URL, or go on with it. Returns what both hold, by table.

    source: a transaction in which nobody else writes. name: what tells this home from others.
    Raises ConfigurationError when the target is not empty and holds something else, ServiceError.
    """
    target = _target(url, name)
    try:
        is_begun = target is not None
        target = target or open_database(url)
        if is_begun:
            _copy_tables(source, target, progress)
        found = _compared(source, target, progress, may_repeat=is_begun)
        if is_begun:
            _finish(target)
        return found
    finally:
        if target is not None:
            target.dispose()


def _target(url: str, name: str) -> Engine | None:
    """The target, begun for this home; None: it is complete, perhaps with this home."""
    target = open_unchecked(url)
    try:
        revision = revision_of(target)
        if revision is None:
            _refuse_other_tables(target)
            target.dispose()
            target = open_database(url)
            revision = HEAD_REVISION
        if revision == MOVING:
            with read(target) as connection:
                mine = connection.execute(sa.select(_notes.c.value).where(_notes.c.name == _SOURCE)).scalar() == name
            if not mine:
                raise ConfigurationError(f"{_shown(target)} holds a part of another home.", remedy=_ANOTHER)
            return target
        if revision == HEAD_REVISION and _begin(target, name):
            return target
        if revision != HEAD_REVISION:
            raise ConfigurationError(f"{_shown(target)} holds a home of another version.", remedy=_ANOTHER)
    except BaseException:
        target.dispose()
        raise
    target.dispose()
    return None


def _refuse_other_tables(target: Engine) -> None:
    with read(target) as connection:
        others = set(sa.inspect(connection).get_table_names()) & set(metadata.tables)
    if others:
        told = f"{_shown(target)} holds tables of another program: {', '.join(sorted(others))}."
        raise ConfigurationError(told, remedy=_ANOTHER)


def _begin(target: Engine, name: str) -> bool:
    """Mark an empty database as being filled. Returns whether it was empty."""
    with exclusive(target) as connection:
        for table in metadata.sorted_tables:
            if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is not None:
                return False
        _notes.create(connection)
        connection.execute(sa.insert(_notes), {"name": _SOURCE, "value": name})
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :moving"), {"moving": MOVING})
    return True


def _copy_tables(source: Connection, target: Engine, progress: Progress) -> None:
    progress.start("database", sum(_count(source, table) for table in metadata.sorted_tables))
    for table in metadata.sorted_tables:
        _copy_table(source, target, table, progress)
    progress.finish("database")


def _copy_table(source: Connection, target: Engine, table: sa.Table, progress: Progress) -> None:
    """Copy the rows after the last one that was copied, in the order of their keys."""
    with read(target) as connection:
        note = connection.execute(sa.select(_notes.c.value).where(_notes.c.name == table.name)).scalar()
    last = json.loads(note) if note is not None else None
    if last is not None:
        progress.advance("database", _count(source, table) - _count(source, table, last))
    insert = sa.insert(table)
    for part in _parts(_rows(source, table, last)):
        key = json.dumps([part[-1][column.name] for column in table.primary_key])
        with write(target) as connection:
            connection.execute(insert, part)
            connection.execute(sa.delete(_notes).where(_notes.c.name == table.name))
            connection.execute(sa.insert(_notes), {"name": table.name, "value": key})
        progress.advance("database", len(part))


def _compared(source: Connection, target: Engine, progress: Progress, *, may_repeat: bool) -> dict[str, Contents]:
    """What both hold. A table that differs is copied again, once: the home was used after the first part was copied.

    Raises ConfigurationError when the target is complete and holds something else, ServiceError.
    """
    if not may_repeat:  # a quick look first: another home is not read to its end
        with read(target) as connection:
            if any(_count(source, table) != _count(connection, table) for table in metadata.sorted_tables):
                raise ConfigurationError(f"{_shown(target)} holds another home.", remedy=_ANOTHER)
    progress.start("comparison", len(metadata.sorted_tables))
    found: dict[str, Contents] = {}
    for table in metadata.sorted_tables:
        found[table.name] = _contents(source, table)
        if _read_back(target, table) != found[table.name]:
            if not may_repeat:
                raise ConfigurationError(f"{_shown(target)} holds another home.", remedy=_ANOTHER)
            for emptied in _empty(target, table):
                _copy_table(source, target, emptied, progress)
                if emptied.name in found and _read_back(target, emptied) != found[emptied.name]:
                    raise _unequal(target, emptied)
        progress.advance("comparison")
    progress.finish("comparison")
    return found


def _empty(target: Engine, table: sa.Table) -> list[sa.Table]:
    """Delete the rows of a table, and with them those that refer to them. Returns the tables to copy again."""
    with write(target) as connection:
        connection.execute(sa.delete(table))
        emptied = [
            one
            for one in metadata.sorted_tables
            if one is table or any(key.column.table is table for key in one.foreign_keys)
        ]
        connection.execute(sa.delete(_notes).where(_notes.c.name.in_([one.name for one in emptied])))
    return emptied


def _unequal(target: Engine, table: sa.Table) -> ServiceError:
    return ServiceError(
        f"What {_shown(target)} gives back of the table {table.name} is not what was written.",
        remedy="check the server's encoding (it must be UTF8) and its log, then move into a new database.",
    )


def _finish(target: Engine) -> None:
    """Make the target a home like any other, in one transaction."""
    with exclusive(target) as connection:
        if target.dialect.name == "postgresql":
            for table in metadata.sorted_tables:
                if (column := table.autoincrement_column) is not None:
                    counted = (
                        f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), max({column.name}))"
                    )
                    connection.execute(sa.text(f"{counted} FROM {table.name}"))
        _notes.drop(connection)
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :head"), {"head": HEAD_REVISION})
    with write(target) as connection:
        connection.execute(sa.text("ANALYZE"))  # the next statements are planned for what is there now


def _read_back(target: Engine, table: sa.Table) -> Contents:
    with read(target) as connection:
        return _contents(connection, table)


def _contents(connection: Connection, table: sa.Table) -> Contents:
    """The sum of the hashes of all rows."""
    rows = total = 0
    for row in _streamed(connection, sa.select(table)):
        rows += 1
        total += int.from_bytes(hashlib.blake2b(repr(_plain(row)).encode(), digest_size=16).digest(), "big")
    return Contents(rows, f"{total % 2**128:032x}")


def _rows(connection: Connection, table: sa.Table, after: Sequence[Any] | None) -> Iterator[dict[str, Any]]:
    names = [column.name for column in table.columns]
    keys = tuple(table.primary_key)
    query = _after(sa.select(table), table, after).order_by(*keys)
    return (dict(zip(names, _plain(row), strict=True)) for row in _streamed(connection, query))


def _after(query: sa.Select[Any], table: sa.Table, key: Sequence[Any] | None) -> sa.Select[Any]:
    return query if key is None else query.where(sa.tuple_(*table.primary_key) > sa.tuple_(*key))


def _count(connection: Connection, table: sa.Table, after: Sequence[Any] | None = None) -> int:
    query = _after(sa.select(sa.func.count()).select_from(table), table, after)
    return int(connection.execute(query).scalar_one())


def _plain(row: Row[Any]) -> tuple[Any, ...]:
    """The values as a server stores them: none has NUL in a text."""
    return tuple([storable(value) if isinstance(value, str) and "\0" in value else value for value in row])


def _streamed(connection: Connection, query: sa.Select[Any]) -> Iterable[Row[Any]]:
    return connection.execute(query, execution_options={"yield_per": _AT_ONCE})


def _parts(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while part := list(islice(rows, _AT_ONCE)):
        yield part


def _shown(engine: Engine) -> str:
    return f"The database {shown_database(engine.url)}"
