"""What a scrape reads does not grow with what is stored."""

from pathlib import Path

from aegis_dagster.domain.stages import Stage
from aegis_dagster.stores.database import open_database
from aegis_dagster_tests.support.bulk_rows import add_calls, add_documents
from aegis_dagster_tests.support.counting import DatabaseWork, database_work
from aegis_dagster_tests.support.monitored_homes import make_exporter, make_settings
from aegis_dagster_tests.support.scraping import fetch, scrape, served


def work_of_a_scrape(folder: Path, *, calls: int, documents: int) -> DatabaseWork:
    """In a home with so many calls and documents; every one of them is counted."""
    settings = make_settings(folder)
    open_database(settings.database_url).dispose()
    add_calls(folder / "aegis.db", calls)
    add_documents(folder / "aegis.db", documents, collections=20)
    exporter = make_exporter(settings)
    exporter.refresh()
    with served(exporter) as url:
        found = scrape(url)
        with database_work() as work:
            fetch(url, "text/plain")
    assert set(found.up().values()) == {1}
    assert sum(found.values("llm_requests_total").values()) == calls
    assert sum(found.values("aegis_documents").values()) == documents * len(Stage)
    return work


def test_a_scrape_reads_totals_and_neither_calls_nor_documents(tmp_path: Path) -> None:
    few = work_of_a_scrape(tmp_path / "few", calls=24_000, documents=100)  # on every day, of every kind
    many = work_of_a_scrape(tmp_path / "many", calls=72_000, documents=1_000)
    assert many.statements == few.statements and many.steps == few.steps > 0
    assert few.on("llm_calls", "documents", "stage_states") == []
