"""Counts the contents of the Neo4j view of the graph.

Layout: entities are nodes with the workspace as label, relations between them have the type DIRECTED. Their
provenance is stored as nodes with other labels, and is not counted.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aegis_dagster.domain.evidence import GraphSize
from aegis_dagster.errors import ConfigurationError, ServiceError

if TYPE_CHECKING:
    from neo4j import Driver

CONNECT_SECONDS = 3.0
QUERY_SECONDS = 15.0

# The driver warns about every label that does not exist yet, each time an empty view is counted. Its option that
# disables notifications fails with servers before 5.7, which do not know it.
logging.getLogger("neo4j.notifications").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Neo4jView:
    """One workspace of a Neo4j database."""

    uri: str  # e.g. "bolt://127.0.0.1:7687"
    user: str
    password: str = field(repr=False)  # "": the server needs none
    database: str
    workspace: str  # label of entities

    def size(self) -> GraphSize:
        """The number of entities and relations in the view, without provenance.

        There are time limits for connecting and for the query. The driver has none for a server that goes silent
        after that, so the caller needs a deadline of its own.

        Raises ServiceError when it does not answer or refuses, ConfigurationError when the driver is not installed.
        """
        try:
            from neo4j.exceptions import DriverError, Neo4jError
        except ImportError as error:
            raise ConfigurationError(
                "neo4j.uri is set, but the driver of Neo4j is not installed.",
                remedy="install aegis_dagster with the extra `neo4j`, or unset neo4j.uri.",
            ) from error
        try:
            with self._driver() as driver:
                return GraphSize(
                    self._number(driver, entities_query(self.workspace)),
                    self._number(driver, relations_query(self.workspace)),
                )
        except (DriverError, Neo4jError, OSError, ValueError) as error:  # ValueError: invalid address
            raise ServiceError(
                f"Neo4j at {self.uri} does not answer: {' '.join(str(error).split())[:300]}.",
                remedy="see that it runs, and that neo4j.uri, neo4j.user, neo4j.database and AEGIS_NEO4J_PASSWORD are "
                "right; until then only its metrics are missing.",
            ) from error

    def _driver(self) -> Driver:
        from neo4j import GraphDatabase

        return GraphDatabase.driver(
            self.uri,
            auth=(self.user, self.password) if self.password else None,
            connection_timeout=CONNECT_SECONDS,
            connection_acquisition_timeout=CONNECT_SECONDS,
            max_transaction_retry_time=0,
            telemetry_disabled=True,
        )

    def _number(self, driver: Driver, text: str) -> int:
        from neo4j import READ_ACCESS, Query

        with driver.session(database=self.database, default_access_mode=READ_ACCESS) as session:
            # Cypher allows no parameter for a label, so it is quoted.
            query = Query(text, timeout=QUERY_SECONDS)
            return int(session.run(query).single(strict=True)[0])


def entities_query(workspace: str) -> str:
    """The query that counts the entities of a workspace."""
    return f"MATCH (n:{_quoted(workspace)}) RETURN count(n)"


def relations_query(workspace: str) -> str:
    """The query that counts the relations between entities of a workspace, each once."""
    label = _quoted(workspace)
    return f"MATCH (:{label})-[r:DIRECTED]->(:{label}) RETURN count(r)"


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"
