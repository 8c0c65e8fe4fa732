"""Where there is no database nothing is said of it, not even 0, and none is made."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from aegis_dagster.errors import ServiceError
from aegis_dagster.monitoring.metrics.exporter import Exporter
from aegis_dagster.stores.database import open_database, open_to_read, write
from aegis_dagster_tests.support.bulk_rows import add_calls, add_documents
from aegis_dagster_tests.support.monitored_homes import make_exporter, make_settings
from aegis_dagster_tests.support.scraping import Scrape, scrape, served
from aegis_dagster_tests.support.servers.postgres import PostgresServer

OF_THE_DATABASE = {"ledger", "catalog", "evidence", "alerts"}
NAMES = ("llm_requests_total", "monthly_spend_usd", "aegis_points_expected", "graph_entities_count")


def scraped(exporter: Exporter) -> Scrape:
    exporter.refresh()
    with served(exporter) as url:
        return scrape(url)


def assert_nothing_is_known(found: Scrape) -> None:
    assert {source for source, up in found.up().items() if not up} == OF_THE_DATABASE
    assert set(NAMES) & found.names() == set()


def test_a_home_that_is_mounted_late_is_not_0_before(tmp_path: Path) -> None:
    home, disk = tmp_path / "home", tmp_path / "disk"
    home.mkdir()  # the empty mount point
    open_database(f"sqlite:///{disk / 'aegis.db'}").dispose()
    add_calls(disk / "aegis.db", 100)
    add_documents(disk / "aegis.db", 10, collections=2)
    exporter = make_exporter(make_settings(home))
    assert_nothing_is_known(scraped(exporter))
    assert list(home.iterdir()) == []

    home.rmdir()
    disk.rename(home)
    found = scraped(exporter)
    assert set(found.up().values()) == {1}
    assert sum(found.values("llm_requests_total").values()) == 100


def test_a_new_home_begins_at_0_when_its_database_is_made(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    exporter = make_exporter(settings)
    assert_nothing_is_known(scraped(exporter))
    open_database(settings.database_url).dispose()
    counters = scraped(exporter).counters()
    assert len(counters) > 50 and set(counters.values()) == {0}


@pytest.mark.parametrize("server", ["sqlite", "postgres"])
def test_a_database_without_tables_is_none_and_one_of_another_version_is_left_alone(
    tmp_path: Path, server: str, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'a #1 %20.db'}"
    if server == "postgres":
        running: PostgresServer = request.getfixturevalue("postgres")
        url = running.new_database()
    else:
        (tmp_path / "a #1 %20.db").touch()
    with pytest.raises(ServiceError, match=r"no database .* yet.*aegis ingest"):
        open_to_read(url, statement_seconds=5)
    engine = sa.create_engine(url)
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()

    made = open_database(url)
    with write(made) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    with pytest.raises(ServiceError, match="another version"):
        open_to_read(url, statement_seconds=5)
    made.dispose()
