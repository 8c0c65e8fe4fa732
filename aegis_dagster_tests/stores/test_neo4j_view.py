"""The Neo4j view is counted on a real server: entities and their relations, and nothing of where they come from."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from neo4j import Driver, GraphDatabase

from aegis_dagster.domain.evidence import GraphSize
from aegis_dagster.errors import ServiceError
from aegis_dagster.settings.monitoring import Neo4jSettings
from aegis_dagster.stores.database import open_database
from aegis_dagster.stores.neo4j_view import Neo4jView
from aegis_dagster_tests.support.monitored_homes import make_exporter, make_settings
from aegis_dagster_tests.support.scraping import scrape, served
from aegis_dagster_tests.support.servers.neo4j import Neo4jServer

WORKSPACE = "aeg`is"  # a label may hold what must be quoted


def view(uri: str, workspace: str = WORKSPACE) -> Neo4jView:
    return Neo4jView(uri, "neo4j", "", "neo4j", workspace)


@pytest.fixture(scope="module")
def filled(neo4j: Neo4jServer) -> Iterator[Driver]:
    """Two workspaces with provenance beside them, in the layout that LightRAG and we write."""
    with GraphDatabase.driver(neo4j.uri, auth=None) as driver:
        for label, count in (("aeg``is", 5), ("other", 3)):
            driver.execute_query(
                f"UNWIND range(1, $count) AS n CREATE (:`{label}` {{entity_id: 'e' + n, entity_type: 'thing', "
                "description: '', source_id: '', file_path: '', created_at: 0})",
                count=count,
            )
            driver.execute_query(
                f"MATCH (a:`{label}`), (b:`{label}`) WHERE a.entity_id < b.entity_id AND a.entity_id <> 'e2' "
                "MERGE (a)-[r:DIRECTED]-(b) SET r.weight = 1.0, r.description = '', r.keywords = ''"
            )
        driver.execute_query(
            "UNWIND range(1, 4) AS n CREATE (:Document {id: 'd' + n})-[:HAS_CHUNK]->"
            "(:Chunk {id: 'c' + n, entity_ids: ['e1', 'e2']})"
        )
        yield driver


def test_only_entities_and_directed_relations_of_the_workspace_count(
    neo4j: Neo4jServer, filled: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    assert view(neo4j.uri).size() == GraphSize(entities=5, relations=7)
    assert view(neo4j.uri, "other").size() == GraphSize(entities=3, relations=2)
    assert view(neo4j.uri, "nobody").size() == GraphSize(entities=0, relations=0)
    assert caplog.messages == []  # an exporter would say it at every reading, until something is written
    assert filled.execute_query("MATCH ()-[r]->() RETURN count(r)").records[0][0] == 13  # with provenance


def test_a_scrape_has_the_view_beside_the_evidence(neo4j: Neo4jServer, filled: Driver, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, neo4j=Neo4jSettings(uri=neo4j.uri, workspace=WORKSPACE))
    open_database(settings.database_url).dispose()
    exporter = make_exporter(settings)
    exporter.refresh()
    with served(exporter) as url:
        found = scrape(url)
    assert found.up()["neo4j"] == 1
    assert (found.value("neo4j_entities_count"), found.value("neo4j_relations_count")) == (5, 7)
    assert found.value("graph_entities_count") == 0  # the evidence is another source


def test_a_server_that_does_not_answer_costs_seconds_and_says_what_to_look_at() -> None:
    with socket.socket() as silent:  # takes connections and never says a word
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(ServiceError, match="AEGIS_NEO4J_PASSWORD"):
            view(f"bolt://127.0.0.1:{silent.getsockname()[1]}").size()
