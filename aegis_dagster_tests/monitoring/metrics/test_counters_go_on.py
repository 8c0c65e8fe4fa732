"""Counters over many short runs: they never go down, whoever is killed, and a new exporter says the same."""

import random
import sqlite3
import time
from pathlib import Path

import pytest

from aegis_dagster.domain.money import nano_usd
from aegis_dagster_tests.support.cli_process import Aegis
from aegis_dagster_tests.support.killed_runs import KilledRun, ends_written_down
from aegis_dagster_tests.support.projects import make_project, scan, write_documents
from aegis_dagster_tests.support.scraping import Scrape, exporter_process, scrape
from aegis_dagster_tests.support.waiting import until

RUNS, EXPORTERS, DOCUMENTS = 30, 4, 3
MOVED = {  # how many values a counter must have had, or nothing would be proved
    "llm_requests_total": RUNS // 2,
    "llm_cost_usd_total": RUNS // 2,
    "aegis_stage_documents_total": EXPORTERS,  # of the catalog: read in the background, not at each scrape
    "aegis_stage_seconds_total": EXPORTERS,
}


def assert_nothing_went_down(before: Scrape, after: Scrape) -> None:
    now = after.counters()
    gone_down = {series: (value, now.get(series)) for series, value in before.counters().items()}
    assert {series: pair for series, pair in gone_down.items() if pair[1] is None or pair[1] < pair[0]} == {}


def total(of: Scrape, name: str, **labels: str) -> float:
    return sum(value for found, value in of.values(name).items() if set(labels.items()) <= set(found))


def scrape_all(url: str) -> Scrape:
    """A scrape in which everything was read after this moment, the catalog's counters in the background too."""
    asked, found = time.monotonic(), list[Scrape]()

    def all_read() -> bool:
        scraped = time.monotonic()
        found.append(scrape(url))
        age = found[-1].value("aegis_source_age_seconds", source="catalog")
        return age is not None and age < scraped - asked

    until(all_read)
    return found[-1]


@pytest.mark.slow
def test_counters_never_go_down_over_killed_runs_and_new_exporters(tmp_path: Path) -> None:
    chance = random.Random(4)
    project = make_project(tmp_path)
    write_documents(project.root, [f"c/{number}.txt" for number in range(DOCUMENTS)])
    scan(project)
    documents = {str(document.id): str(document.revision) for document in project.documents.all()}
    environment = Aegis(project.settings.home, project.root).environment() | {"AEGIS_METRICS__REFRESH_SECONDS": "0.1"}
    shown: list[Scrape] = []
    for number in range(EXPORTERS):
        with exporter_process(environment) as url:
            shown.append(scrape_all(url))
            if number:  # nothing has happened since the exporter before was killed
                assert shown[-1].counters() == shown[-2].counters()
            for _ in range(RUNS // (EXPORTERS - 1) if number < EXPORTERS - 1 else 0):
                run = KilledRun(project.settings.database_url, documents, tmp_path)
                run.wait_until_it_works()
                time.sleep(chance.uniform(0, 0.15))
                assert_nothing_went_down(shown[-1], scrape(url))  # while it works
                run.kill()
                shown.append(scrape(url))
                assert_nothing_went_down(shown[-2], shown[-1])
            shown.append(scrape_all(url))
            assert_nothing_went_down(shown[-2], shown[-1])
    assert len(shown) == RUNS + 2 * EXPORTERS
    for name, least in MOVED.items():
        assert len({total(one, name) for one in shown}) >= least, name
    assert_calls_are_those_of_the_ledger(project.settings.home / "aegis.db", shown[-1])
    for (stage, status), ends in ends_written_down(tmp_path).items():
        # Each killed run may have recorded one end that it could not write down any more.
        found = total(shown[-1], "aegis_stage_documents_total", stage=stage, status=status)
        assert ends <= found <= ends + RUNS * DOCUMENTS
    project.engine.dispose()


def assert_calls_are_those_of_the_ledger(database: Path, last: Scrape) -> None:
    """The exporter reads roll-ups; here every call is added up."""
    with sqlite3.connect(database) as connection:
        calls, cost, tokens = connection.execute(
            "SELECT count(*), sum(cost_nanousd), sum(input_tokens) FROM llm_calls WHERE cost_nanousd IS NOT NULL"
        ).fetchone()
    assert calls > RUNS
    assert total(last, "llm_requests_total") == total(last, "llm_latency_seconds_count") == calls
    assert total(last, "llm_cost_usd_total") == pytest.approx(cost / nano_usd(1), abs=1e-12)
    assert total(last, "llm_tokens_used_total", token_type="input") == tokens
