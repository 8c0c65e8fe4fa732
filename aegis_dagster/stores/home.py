"""The id of a home, which marks what is its own on servers that several homes share."""

import uuid

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from aegis_dagster.stores.database import metadata, read, upsert, write

home = sa.Table(
    "home",
    metadata,
    sa.Column("name", sa.String(16), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)


def home_id(engine: Engine) -> str:
    """The same for every process of a home, and for its database wherever it is moved. Raises ServiceError."""
    wanted = sa.select(home.c.value).where(home.c.name == "id")
    with read(engine) as connection:
        found: str | None = connection.execute(wanted).scalar()
    if found is not None:
        return found
    with write(engine) as connection:
        made = upsert(connection, home).values(name="id", value=uuid.uuid4().hex).on_conflict_do_nothing()
        connection.execute(made)
        first: str = connection.execute(wanted).scalar_one()  # another process may have been first
    return first
