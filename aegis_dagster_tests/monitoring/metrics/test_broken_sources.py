"""A source that cannot be asked is absent and down, never 0; the others go on, and it comes back."""

import logging
import shutil
import socket
from pathlib import Path

import pytest

from aegis_dagster.settings.monitoring import Neo4jSettings
from aegis_dagster.stores.database import open_database
from aegis_dagster.stores.vectors.qdrant_edge_engine import EdgeFolder
from aegis_dagster_tests.support.bulk_rows import add_calls, add_documents
from aegis_dagster_tests.support.monitored_homes import make_exporter, make_settings
from aegis_dagster_tests.support.points_writer import open_store, replace
from aegis_dagster_tests.support.scraping import Scrape, scrape, served
from aegis_dagster_tests.support.servers.postgres import PostgresServer

OF_THE_DATABASE = ("ledger", "catalog", "evidence", "alerts")
NAMES = ("llm_requests_total", "monthly_spend_usd", "aegis_documents", "graph_entities_count", "aegis_pages_waiting")


def assert_the_database_is_down(found: Scrape) -> None:
    assert {source for source, up in found.up().items() if not up} == set(OF_THE_DATABASE)
    for name in NAMES:
        assert found.values(name) == {}
    for source in OF_THE_DATABASE:
        assert found.value("aegis_source_age_seconds", source=source) is None


def fill(home: Path) -> None:
    open_database(f"sqlite:///{home / 'aegis.db'}").dispose()
    add_calls(home / "aegis.db", 1000)
    add_documents(home / "aegis.db", 10, collections=2)


def test_a_damaged_or_lost_database_takes_nothing_else_with_it_and_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "home"
    fill(home)
    store = open_store(EdgeFolder(home / "vectors"))
    replace(store, "v1")
    settings = make_settings(home, qdrant={"collection": "documents"})
    exporter = make_exporter(settings)
    database, kept = home / "aegis.db", tmp_path / "kept.db"
    shutil.copy(database, kept)

    def again() -> Scrape:
        exporter.refresh()
        return scrape(url)

    with served(exporter) as url, caplog.at_level(logging.WARNING):
        before = again()
        assert set(before.up().values()) == {1}
        assert sum(before.values("llm_requests_total").values()) == 1000

        damaged = tmp_path / "damaged.db"
        damaged.write_bytes(b"This is no database. " * 1000)
        damaged.replace(database)  # another file under the old name: who has the old one open reads on
        for suffix in ("-wal", "-shm"):
            Path(f"{database}{suffix}").unlink(missing_ok=True)
        assert_the_database_is_down(again())
        assert_the_database_is_down(again())
        told = [record.getMessage() for record in caplog.records if "cannot be asked" in record.getMessage()]
        assert len(told) == len(OF_THE_DATABASE)  # once each, not with every scrape
        assert all("Remedy:" in line for line in told)

        database.unlink()
        assert_the_database_is_down(again())
        assert not database.exists()  # an empty one would say 0

        shutil.copy(kept, database)
        after = again()
    assert after.counters() == before.counters()
    assert after.values("aegis_documents") == before.values("aegis_documents")
    assert after.value("qdrant_points_count", collection=store.collection) == store.count()
    assert "ledger can be asked again." in caplog.messages


def test_a_database_server_may_stop_and_start(tmp_path: Path, own_postgres: PostgresServer) -> None:
    url = own_postgres.new_database()
    open_database(url).dispose()
    exporter = make_exporter(make_settings(tmp_path / "home", database=url))
    with served(exporter) as address:
        exporter.refresh()
        before = scrape(address)
        assert set(before.up().values()) == {1}
        own_postgres.stop()
        try:
            exporter.refresh()
            assert_the_database_is_down(scrape(address))
        finally:
            own_postgres.start()
        exporter.refresh()
        after = scrape(address)
    assert set(after.up().values()) == {1}
    assert after.names() == before.names()


def test_a_neo4j_that_nobody_started_is_down_and_the_evidence_is_counted(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and nobody listens
        uri = f"bolt://127.0.0.1:{free.getsockname()[1]}"
        open_database(f"sqlite:///{tmp_path / 'aegis.db'}").dispose()
        exporter = make_exporter(make_settings(tmp_path, neo4j=Neo4jSettings(uri=uri)))
        exporter.refresh()
        with served(exporter) as url:
            found = scrape(url)
    assert found.up()["neo4j"] == 0
    assert found.values("neo4j_entities_count") == {}
    assert found.value("graph_entities_count") == 0
