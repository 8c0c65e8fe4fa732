"""A demo is ingested under the eyes of the real Prometheus: every panel, alert and recording rule has figures then.

Some documents, one of them with a picture, one that cannot be read and one that its budget puts off, over a scripted
provider that also fails. Real besides Prometheus: `aegis metrics`, Pushgateway, Neo4j. Only what a GPU would say is
pushed by hand; what the view in Neo4j holds, and what runs in a Ray cluster say, is written by hand.
"""

import json
import math
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from neo4j import GraphDatabase

from aegis_dagster.definitions import build_definitions
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.domain.seats import Lost, SeatFigures
from aegis_dagster.stores.catalog.seats import SeatReports
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster.stores.database import open_database
from aegis_dagster_tests.support import dashboard_expressions as expressions
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.dashboard_expressions import RULE_FILES, Expression
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, LLMServer, Rule, UsageShape, scripted_server
from aegis_dagster_tests.support.money_homes import MODEL, PAID, PRICE, Home, make_home
from aegis_dagster_tests.support.projects import write_documents
from aegis_dagster_tests.support.projects_with_models import write_picture_document
from aegis_dagster_tests.support.scraping import exporter_process
from aegis_dagster_tests.support.servers.neo4j import Neo4jServer
from aegis_dagster_tests.support.servers.programs import free_port
from aegis_dagster_tests.support.servers.prometheus import (
    Prometheus,
    Pushgateway,
    prometheus_server,
    pushgateway_server,
)

pytestmark = pytest.mark.slow
CHEAP, WORKSPACE = "openai", "demo"
SCRAPE_SECONDS = 1.0
# Each is used once, by whichever call comes first; all others are answered, with cached and reasoning tokens.
MISHAPS = (
    Behaviour(kind=Kind.SERVER_ERROR),
    Behaviour(kind=Kind.RESET_AFTER),  # may have been billed: costs what was reserved
    Behaviour(usage=UsageShape.ABSENT),  # is estimated
    Behaviour(kind=Kind.BAD_REQUEST),  # the next tier is asked
)
USUAL = Rule(Behaviour(cached_tokens=20, cache_write_tokens=3, reasoning_tokens=5, latency_seconds=0.15))
COUNTERS = {  # of the ledger, and the sum that its calls give. Roll-ups, which the exporter reads, are other tables.
    "llm_requests_total": "count(*)",
    "llm_latency_seconds_count": "count(*)",
    "llm_cost_usd_total": "sum(cost_nanousd) / 1e9",
    'llm_tokens_used_total{token_type="input"}': "sum(input_tokens)",
    'llm_tokens_used_total{token_type="output"}': "sum(output_tokens)",
    "llm_cached_tokens_total": "sum(cached_tokens)",
    "llm_reasoning_tokens_total": "sum(reasoning_tokens)",
    "llm_cache_write_tokens_total": "sum(cache_write_tokens)",
    "llm_errors_total": "sum(outcome <> 'ok')",
}


@dataclass(frozen=True, slots=True)
class Demo:
    """What was ingested, and who watched."""

    prometheus: Prometheus
    home: Home
    ended: dict[str, Any]  # what `aegis ingest` said
    began_at: float  # of the first scrape
    ended_at: float  # of a scrape after the end

    def without_answer(self, asked: Sequence[Expression]) -> list[str]:
        """Those that have no series with a finite value, in words."""
        return [str(one) for one in asked if not any(math.isfinite(sample.value) for sample in self._answer(one))]

    def _answer(self, one: Expression) -> list[Any]:
        if one.instant:
            return self.prometheus.query(one.text, at=self.ended_at)
        return self.prometheus.over(one.text, self.began_at, self.ended_at, step=SCRAPE_SECONDS)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, neo4j: Neo4jServer) -> Iterator[Demo]:
    with ExitStack() as running:
        server = running.enter_context(scripted_server())
        server.script([*MISHAPS, USUAL])
        pushgateway = running.enter_context(pushgateway_server())
        home = make_demo_home(tmp_path_factory.mktemp("demo"), server)
        environment = home.environment() | {
            "AEGIS_METRICS__PUSHGATEWAY": pushgateway.url,
            "AEGIS_METRICS__REFRESH_SECONDS": "0.5",
            "AEGIS_NEO4J__URI": neo4j.uri,
            "AEGIS_NEO4J__WORKSPACE": WORKSPACE,
            "AEGIS_ALERTS__ALERTMANAGER": f"http://127.0.0.1:{free_port()}",  # is down: pages wait
        }
        open_database(f"sqlite:///{home.database}").dispose()  # else there is nothing to count from 0
        exporter = running.enter_context(exporter_process({**environment, "AEGIS_WORKERS__ENGINE": "ray"}))
        targets = {"aegis": exporter.removesuffix("/metrics"), "pushgateway": pushgateway.url}
        prometheus = running.enter_context(prometheus_server(targets, rules=RULE_FILES, seconds=SCRAPE_SECONDS))
        patch = running.enter_context(pytest.MonkeyPatch.context())
        for name in set(os.environ) - set(environment):
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        began_at = prometheus.wait_for("min(timestamp(llm_requests_total))")[0].value
        ended = ingest(home, patch)
        push_what_a_gpu_would_say(pushgateway)
        running.enter_context(view_written(neo4j))
        report_what_a_run_on_ray_would_say(home)
        now = prometheus.query("time()")[0].value
        for shown in (
            f"min(timestamp(aegis_source_age_seconds) - aegis_source_age_seconds) > {now}",  # each was read again
            f"sum(aegis_documents{{stage='graph', status='done'}}) == {ended['done']}",
            "aegis_run_stage_peak_vram_bytes and on() neo4j_relations_count and on() aegis_pages_waiting > 0",
            "aegis:graph_view_off:count and on() aegis:asset_age:seconds",
            'aegis_ray_queue == 7 and on() aegis_ray_lost_workers_total{reason="seat"} == 2',
        ):
            prometheus.wait_for(shown)
        now = prometheus.query("time()")[0].value
        ended_at = prometheus.wait_for(f"max(timestamp(llm_requests_total)) > {now}")[0].value
        yield Demo(prometheus, home, ended, began_at, ended_at)


def make_demo_home(folder: Path, server: LLMServer) -> Home:
    """Documents and a file that is damaged; beside them a collection for which there is no money."""
    tasks = {"tasks": ["image_description", "entity_extraction", "summary"]}
    cheap = {"base_url": server.v1, "models": {MODEL: tasks}, "enabled": True, "api_key_variable": None}
    home = make_home(
        folder,
        server,
        limit_usd="5",
        tiers=[PAID, CHEAP],
        providers={PAID: {"base_url": server.v1, "models": {MODEL: tasks}}, CHEAP: cheap},
        prices={f"{PAID}/{MODEL}": PRICE, f"{CHEAP}/{MODEL}": PRICE},
        budgets={"providers": {PAID: "5", CHEAP: "5"}, "collections": {"drafts": "0"}},
        rest_after_failures=1000,
    )
    write_documents(home.root, [f"harbour/{number}.txt" for number in range(4)])
    write_picture_document(home.root / "harbour" / "picture.docx")
    (home.root / "harbour" / "damaged.pdf").write_bytes(b"%PDF-1.7 and nothing else")
    (home.root / "drafts").mkdir()
    (home.root / "drafts" / "waits.txt").write_text(
        "The tide gauge of Eastmere was repaired by Priya Raman.\n", "utf-8"
    )
    return home


def ingest(home: Home, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `aegis ingest` says. Then what the daemon does: checks costs, and looks whether somebody is to be paged."""
    ended = InProcess(home.folder / "home", patch)("ingest", "--json")
    resource = ProjectResource(home=str(home.folder / "home"))
    definitions = build_definitions(resource)
    with dg.DagsterInstance.from_config(str(home.folder / "home" / "dagster")) as instance:
        assert definitions.resolve_job_def("check_costs").execute_in_process(instance=instance).success
        with dg.build_sensor_context(instance, resources={"project": resource}) as context:
            definitions.resolve_sensor_def("page_on_change").evaluate_tick(context)
    values: dict[str, Any] = json.loads(ended.stdout)
    return values


def push_what_a_gpu_would_say(pushgateway: Pushgateway) -> None:
    group = {"job": "aegis_ingestion", "collection": "of-a-gpu", "stage": "enrich"}
    pushgateway.push(group, "# TYPE aegis_run_stage_peak_vram_bytes gauge\naegis_run_stage_peak_vram_bytes 1e9\n")


def report_what_a_run_on_ray_would_say(home: Home) -> None:
    """Once: it is heard for a minute, and the alerts look back ten."""
    figures = SeatFigures(nodes=2, lost_nodes=1, ready=3, waiting=1, queue=7, lost={Lost.SEAT: 2})
    engine = open_database(f"sqlite:///{home.database}")
    SeatReports(engine, SystemClock()).report("a run", figures, SeatFigures())
    engine.dispose()


@contextmanager
def view_written(neo4j: Neo4jServer) -> Iterator[None]:
    """Three entities and two relations, which is not what the evidence has; removed at the end."""
    with GraphDatabase.driver(neo4j.uri, auth=None) as driver:
        driver.execute_query(
            f"CREATE (:{WORKSPACE} {{entity_id: 'a'}})-[:DIRECTED]->(:{WORKSPACE} {{entity_id: 'b'}})"
            f"-[:DIRECTED]->(:{WORKSPACE} {{entity_id: 'c'}})"
        )
        yield
        driver.execute_query(f"MATCH (n:{WORKSPACE}) DETACH DELETE n")


def test_the_demo_had_everything_that_is_shown(demo: Demo) -> None:
    assert (demo.ended["done"], demo.ended["failed"], demo.ended["deferred"]) == (5, 1, 1)
    for expression in (
        "llm_usage_estimated_total",
        "llm_usage_unknown_total",
        "aegis_stage_failures_total",
        'aegis_documents_deferred{reason="budget"}',
        "aegis_alerts_firing",
        "aegis_pages_waiting",
        "aegis:graph_view_off:count",
        f'llm_requests_total{{provider="{CHEAP}"}}',
    ):
        assert max(sample.value for sample in demo.prometheus.query(expression, at=demo.ended_at)) > 0, expression


def test_what_has_no_answer_is_found_and_named(demo: Demo) -> None:
    unknown = Expression("a.json", "unknown", "nobody_exports_this", instant=True)
    no_number = Expression("b.yml", "no number", "up * 0 / 0", instant=False)
    assert demo.without_answer([unknown, no_number]) == [str(unknown), str(no_number)]


def test_every_panel_has_data(demo: Demo) -> None:
    asked = expressions.of_panels(scrape_seconds=SCRAPE_SECONDS)
    asked += expressions.of_variables(scrape_seconds=SCRAPE_SECONDS)
    assert len(asked) > 50
    assert demo.without_answer(asked) == []


def test_every_alert_and_recording_rule_has_data(demo: Demo) -> None:
    asked = [*expressions.of_recording_rules(), *expressions.of_alerts()]
    assert len(asked) > 35
    assert demo.without_answer(asked) == []
    assert [rule for rule in demo.prometheus.rules() if rule["health"] != "ok"] == []


def test_counters_rose_by_what_the_ledger_says(demo: Demo) -> None:
    """By the raw samples, and by `increase`, as the panels have it.

    `increase` extrapolates to the ends of its window. It adds nothing here: each counter is 0 in its first sample, and
    the window ends at the time of the last one.
    """
    ask, at = demo.prometheus.query, demo.ended_at
    with sqlite3.connect(demo.home.database) as connection:
        for counter, column in COUNTERS.items():
            query = f"SELECT provider, {column} FROM llm_calls WHERE status <> 'reserved' GROUP BY provider"
            ledger = dict(connection.execute(query))
            assert set(ledger) == {PAID, CHEAP} and ledger[PAID] > 0, counter
            before = ask(f"sum by (provider) ({counter})", at=demo.began_at)
            first = {one.labels["provider"]: one.value for one in before}
            assert first == dict.fromkeys(ledger, 0), counter
            for expression in (counter, f"increase({counter}[1h])"):
                found = ask(f"sum by (provider) ({expression})", at=at)
                rose = {one.labels["provider"]: one.value for one in found}
                assert rose == pytest.approx(ledger, rel=1e-9), expression
