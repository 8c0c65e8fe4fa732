"""A scrape stays fast however much is stored, and the counting in the background ends."""

import statistics
import time
from pathlib import Path

import pytest

from aegis_dagster.domain.stages import Stage
from aegis_dagster.stores.database import open_database
from aegis_dagster_tests.support.bulk_rows import add_calls, add_documents
from aegis_dagster_tests.support.machine import allowed
from aegis_dagster_tests.support.monitored_homes import make_exporter, make_settings
from aegis_dagster_tests.support.scraping import fetch, scrape, served

CALLS, DOCUMENTS, SCRAPES = 1_000_000, 100_000, 25
MOST_SECONDS = 0.150


@pytest.mark.slow
@pytest.mark.alone
def test_a_scrape_of_a_million_calls_and_a_hundred_thousand_documents_takes_under_150_ms(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    open_database(settings.database_url).dispose()
    add_calls(tmp_path / "aegis.db", CALLS)
    add_documents(tmp_path / "aegis.db", DOCUMENTS, collections=20)
    exporter = make_exporter(settings)
    began = time.process_time()
    exporter.refresh()
    counting = time.process_time() - began

    def seconds() -> float:
        began = time.monotonic()
        fetch(url, "text/plain")
        return time.monotonic() - began

    with served(exporter) as url:
        median = statistics.median(seconds() for _ in range(SCRAPES))
        found = scrape(url)
    assert set(found.up().values()) == {1}
    calls = sum(found.values("llm_requests_total").values())
    counted = sum(found.values("aegis_documents").values())
    print(f"scrape {median * 1000:.0f} ms, counting {counting:.1f} s of CPU, {found.series()} series")
    assert (calls, counted) == (CALLS, DOCUMENTS * len(Stage))
    assert median < allowed(MOST_SECONDS)
    assert counting < allowed(15)  # seconds of CPU, in the background
