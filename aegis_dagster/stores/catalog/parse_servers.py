"""Remembers the versions of servers that parse, so that fingerprints stay what they are while a server is down."""

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from aegis_dagster.stores.catalog.schema import parse_servers
from aegis_dagster.stores.database import read, write
from aegis_dagster.stores.merging import merging


class ParseServers:
    """What each server last told."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def versions(self, url: str) -> str | None:
        """The versions that a server last told; None: it never answered."""
        query = sa.select(parse_servers.c.versions).where(parse_servers.c.url == url)
        with read(self._engine) as connection:
            return connection.execute(query).scalar()

    def remember(self, url: str, versions: str) -> None:
        """Replace what a server told before."""
        with write(self._engine) as connection:
            row = {"url": url, "versions": versions}
            connection.execute(merging(parse_servers, tuple(row)), [row])
