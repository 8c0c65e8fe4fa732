"""A source that hangs is down after its deadline; it holds up neither a scrape nor another source."""

import socket
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from aegis_dagster.errors import ServiceError
from aegis_dagster.monitoring.metrics.definitions import Source
from aegis_dagster.monitoring.metrics.exporter import Exporter, Reader
from aegis_dagster.monitoring.metrics.samples import Samples
from aegis_dagster.stores.database import open_database, open_to_read, read, write
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.monitored_homes import make_exporter, make_settings
from aegis_dagster_tests.support.scraping import Scrape, scrape, served
from aegis_dagster_tests.support.servers.postgres import PostgresServer
from aegis_dagster_tests.support.waiting import until

OF_THE_DATABASE = {"ledger", "catalog", "evidence", "alerts"}


def down(found: Scrape) -> set[str]:
    return {source for source, up in found.up().items() if not up}


def age_of_catalog(address: str) -> float:
    age = scrape(address).value("aegis_source_age_seconds", source="catalog")
    assert age is not None
    return age


def test_a_ledger_that_waits_for_a_lock_is_down_and_comes_back(tmp_path: Path, postgres: PostgresServer) -> None:
    url = postgres.new_database()
    engine = open_database(url)
    exporter = make_exporter(make_settings(tmp_path / "home", database=url, metrics={"refresh_seconds": 0.1}))
    with served(exporter, background=True) as address:
        assert down(scrape(address)) == set()
        with write(engine) as connection:
            connection.execute(sa.text("LOCK TABLE llm_usage"))
            locked = time.monotonic()
            assert down(scrape(address)) == {"ledger"}
            found = scrape(address)
            assert down(found) == {"ledger"}
            assert found.values("llm_requests_total") == found.values("monthly_spend_usd") == {}
            until(lambda: age_of_catalog(address) < time.monotonic() - locked)  # it is read meanwhile
            asking = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            assert connection.execute(sa.text(asking)).scalar() == 1  # no second one for each scrape
        until(lambda: down(scrape(address)) == set())
    engine.dispose()


def test_a_server_that_never_says_a_word_takes_no_other_source_with_it(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql+psycopg2://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
        exporter = make_exporter(make_settings(tmp_path, database=url))
        threading.Thread(target=exporter.refresh, daemon=True).start()
        with served(exporter) as address:
            until(lambda: down(scrape(address)) == OF_THE_DATABASE)
            assert scrape(address).up()["qdrant"] == 1


class Switched:
    """A source that counts how often it is read, and hangs while it is told to."""

    def __init__(self) -> None:
        self.readings = 0
        self.goes_on = threading.Event()
        self.goes_on.set()

    def read(self) -> Samples:
        self.readings += 1
        assert self.goes_on.wait(600)
        samples = Samples()
        samples.add("graph_entities_count", value=self.readings)
        return samples


def test_one_that_hangs_in_the_background_is_not_asked_again_and_the_others_are() -> None:
    hangs, works = Switched(), Switched()
    readers = [
        Reader(Source.EVIDENCE, hangs.read, deadline_seconds=0.2),
        Reader(Source.DAGSTER, works.read, deadline_seconds=0.2),
    ]
    with served(Exporter(readers, SetClock(), refresh_seconds=0.01, version="1"), background=True) as url:
        assert down(scrape(url)) == set()
        hangs.goes_on.clear()
        until(lambda: down(scrape(url)) == {"evidence"})
        asked, others = hangs.readings, works.readings
        until(lambda: works.readings > others + 5)
        found = scrape(url)
        assert down(found) == {"evidence"} and hangs.readings == asked
        assert found.value("aegis_source_age_seconds", source="evidence") is None
        hangs.goes_on.set()
        until(lambda: down(scrape(url)) == set())


def test_only_who_looks_on_is_cut_off_and_may_not_write(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    works = open_database(url)
    looks_on = open_to_read(url, statement_seconds=0.2)
    sleep = sa.text("SELECT pg_sleep(0.4)")
    with read(works) as connection:
        connection.execute(sleep)
    with pytest.raises(ServiceError, match="a statement that took too long"), read(looks_on) as connection:
        connection.execute(sleep)
    with pytest.raises(ServiceError, match="read-only"), write(looks_on) as connection:
        connection.execute(sa.text("DELETE FROM documents"))
    for engine in (works, looks_on):
        engine.dispose()
