"""From a model call to a page: the real Prometheus, Alertmanager, Pushgateway and Dagster over the scripted provider.

A run spends beyond 80 % of a budget: the alert fires and somebody is told once. The next one uses it up: the asset
check fails and is paged. The limit is raised: both are cleared.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from aegis_dagster.definitions import build_definitions
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.llm_server import Behaviour, Rule, scripted_server
from aegis_dagster_tests.support.money_homes import PAID, Home, make_home
from aegis_dagster_tests.support.places import REPOSITORY
from aegis_dagster_tests.support.scraping import exporter_process
from aegis_dagster_tests.support.servers.prometheus import (
    Prometheus,
    alertmanager_server,
    prometheus_server,
    pushgateway_server,
    webhook_config,
)
from aegis_dagster_tests.support.servers.webhook import Webhook, webhook_receiver

RULES = REPOSITORY / "dashboards" / "prometheus" / "rules" / "money.yml"
# With PRICE a call costs 0.00957 USD, and is reserved with 0.0095 to 0.0115: some ten fit into the limit.
USAGE = {"prompt_tokens": 5000, "completion_tokens": 4000, "total_tokens": 9000}
LIMIT = "0.1"
CHECK = f"{PAID}_under_limit"


@dataclass
class Watched:
    """A home, what watches it, and who is paged."""

    home: Home
    aegis: InProcess  # what costs most of a command's time is starting Python
    prometheus: Prometheus
    phone: Webhook
    cursor: str | None = None

    def ingest(self, first: int, last: int) -> dict[str, Any]:
        """Write documents of one passage each, and ingest."""
        folder = self.home.root / "harbour"
        folder.mkdir(exist_ok=True)
        for number in range(first, last):
            (folder / f"{number}.txt").write_text(f"Tide gauge {number} of Eastmere was repaired by Priya Raman.\n")
        return self.aegis.json("ingest")

    def tick(self) -> None:
        """What Dagster's daemon does: one evaluation of the sensor that pages."""
        environment = self.home.environment()
        resource = ProjectResource(home=environment["AEGIS_HOME"])
        sensor = build_definitions(resource).resolve_sensor_def("page_on_change")
        with (
            dg.DagsterInstance.from_config(str(Path(environment["AEGIS_HOME"]) / "dagster")) as instance,
            dg.build_sensor_context(instance, cursor=self.cursor, resources={"project": resource}) as context,
        ):
            self.cursor = sensor.evaluate_tick(context).cursor

    def told(self, name: str) -> list[str]:
        """Whether each page of an alert was firing or resolved, in order; of checks, those of CHECK."""
        alerts = self.phone.alerts(name)
        return [alert["status"] for alert in alerts if alert["labels"].get("check", CHECK) == CHECK]

    def documents_pushed(self, stage: str, status: str, documents: int) -> None:
        """Until Prometheus has from the Pushgateway that the last run left so many documents like this."""
        labels = f'job="aegis_ingestion", collection="harbour", stage="{stage}", status="{status}"'
        self.prometheus.wait_for(f"aegis_run_stage_documents{{{labels}}} == {documents}")

    def wait_for(self, name: str, *statuses: str) -> None:
        """Until exactly these pages arrived."""
        self.phone.wait_for(lambda _: self.told(name) == list(statuses))


def at_once(folder: Path) -> Path:
    """The rules of the project, without waiting before they fire: the promtool tests hold the waits."""
    rules = yaml.safe_load(RULES.read_text("utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    copy = folder / "money.yml"
    copy.write_text(yaml.safe_dump(rules), "utf-8")
    return copy


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    with ExitStack() as running:
        server = running.enter_context(scripted_server())
        server.script([Rule(Behaviour(usage_fields=USAGE))])
        home = make_home(tmp_path, server, limit_usd=LIMIT)
        phone = running.enter_context(webhook_receiver())
        pushgateway = running.enter_context(pushgateway_server())
        alertmanager = running.enter_context(alertmanager_server(webhook_config(phone.url)))
        monkeypatch.setenv("AEGIS_ALERTS__ALERTMANAGER", alertmanager.url)
        monkeypatch.setenv("AEGIS_ALERTS__SECONDS", "1")
        monkeypatch.setenv("AEGIS_ALERTS__STANDS_SECONDS", "1")  # this Alertmanager waits for no group
        monkeypatch.setenv("AEGIS_METRICS__PUSHGATEWAY", pushgateway.url)
        monkeypatch.setenv("AEGIS_PARSE__WORKERS", "1")  # each takes seconds to start, and a text none to parse
        for name in ("AEGIS_CONFIG", "AEGIS_HOME", "AEGIS_ROOT", "DASHSCOPE_API_KEY"):
            monkeypatch.setenv(name, home.environment()[name])
        exporter = running.enter_context(exporter_process(home.environment() | {"AEGIS_METRICS__REFRESH_SECONDS": "1"}))
        targets = {"aegis": exporter.removesuffix("/metrics"), "pushgateway": pushgateway.url}
        prometheus = running.enter_context(
            prometheus_server(targets, rules=[at_once(tmp_path)], alertmanager=alertmanager.url)
        )
        yield Watched(home, InProcess(home.folder / "home", monkeypatch), prometheus, phone)


@pytest.mark.slow
def test_spending_pages_and_a_raised_budget_clears(watched: Watched) -> None:
    done = watched.ingest(0, 9)
    assert (done["done"], done["deferred"]) == (9, 0)
    watched.documents_pushed("graph", "done", 9)
    watched.prometheus.wait_for("aegis:budget_used:ratio", lambda found: bool(found) and 0.8 < found[0].value < 0.9)
    watched.wait_for("BudgetNearlyUsed", "firing")
    watched.tick()
    assert watched.told("AssetCheckFailed") == []

    used_up = watched.ingest(9, 12)
    assert used_up["deferred"] >= 1
    watched.documents_pushed("graph", "deferred", used_up["deferred"])
    watched.tick()
    watched.wait_for("AssetCheckFailed", "firing")
    (page,) = [alert for alert in watched.phone.alerts("AssetCheckFailed") if alert["labels"]["check"] == CHECK]
    assert page["labels"]["severity"] == "critical" and page["labels"]["asset"] == "llm_costs"
    assert "documents wait for money" in page["annotations"]["description"]

    watched.aegis.json("budget", "raise", PAID, "1")
    assert watched.aegis.json("ingest")["deferred"] == 0
    watched.documents_pushed("graph", "done", used_up["deferred"])
    watched.tick()
    watched.wait_for("AssetCheckFailed", "firing", "resolved")
    watched.wait_for("BudgetNearlyUsed", "firing", "resolved")
    (spent,) = watched.prometheus.wait_for("monthly_spend_usd", lambda found: bool(found) and found[0].value > 0.11)
    ledger = watched.aegis.json("costs")
    assert spent.value == pytest.approx(ledger["total_nanousd"] / 1e9, abs=1e-9)
