"""INSERTs of rows that may be there already, for statements that run for every document or every model call.

They are text, which SQLite and Postgres read alike: SQLAlchemy compiles an `upsert` anew at each execution, which takes
a millisecond, more than SQLite takes for the rows.
"""

from functools import cache

import sqlalchemy as sa


@cache
def merging(
    table: sa.Table, columns: tuple[str, ...], *, adding: tuple[str, ...] = (), keeping: bool = False
) -> sa.TextClause:
    """The statement for rows with these columns, by the table's primary key; execute it with a list of rows.

    adding: columns to whose stored value the new one is added; the others are replaced. keeping: a stored row stays.
    """
    keys = [column.name for column in table.primary_key]
    updated = ", ".join(
        f'"{name}" = {table.name}."{name}" + excluded."{name}"' if name in adding else f'"{name}" = excluded."{name}"'
        for name in columns
        if name not in keys
    )
    statement = (
        f"INSERT INTO {table.name} ({_listed(columns)}) VALUES ({', '.join(f':{name}' for name in columns)}) "
        f"ON CONFLICT ({_listed(keys)}) {'DO NOTHING' if keeping else f'DO UPDATE SET {updated}'}"
    )
    return sa.text(statement).bindparams(*(sa.bindparam(name, type_=table.c[name].type) for name in columns))


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
