"""Dashboards, alerts and the guide agree with each other and with the metrics that are exported."""

import json
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aegis_dagster.monitoring.metrics.definitions import METRICS, Kind, Metric
from aegis_dagster_tests.support.places import REPOSITORY
from aegis_dagster_tests.support.servers.prometheus import checked

PROMETHEUS = REPOSITORY / "dashboards" / "prometheus"
GRAFANA = REPOSITORY / "dashboards" / "grafana"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))
TEST_FILES = sorted((PROMETHEUS / "tests").glob("*.yml"))
GUIDE = "docs/guides/MONITORING.md"
OF_DAGSTER = {"AssetCheckFailed", "DagsterRunFailed", "PagingTest"}


def rules() -> list[dict[str, Any]]:
    """All recording rules and alerts."""
    files = [yaml.safe_load(path.read_text("utf-8")) for path in RULE_FILES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def guide() -> str:
    """The guide's text."""
    return (REPOSITORY / GUIDE).read_text("utf-8")


def panels() -> Iterator[dict[str, Any]]:
    """Every panel of every dashboard, without the headings of rows."""
    for path in sorted(GRAFANA.glob("*.json")):
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            yield from (one for one in (panel, *panel.get("panels", ())) if one["type"] != "row")


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.name)
def test_promtool_accepts_the_rules(path: Path) -> None:
    assert "SUCCESS" in checked("promtool", "check", "rules", path)


def test_promtool_accepts_the_configuration_and_all_rule_files() -> None:
    said = checked("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    assert f"SUCCESS: {len(RULE_FILES)} rule files found" in said


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.name)
def test_alerts_fire_and_clear_as_their_unit_tests_say(path: Path) -> None:
    assert "FAILED" not in checked("promtool", "test", "rules", path)


def test_amtool_accepts_the_routes() -> None:
    said = checked("amtool", "check-config", REPOSITORY / "dashboards" / "alertmanager" / "alertmanager.yml")
    assert "SUCCESS" in said


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_every_alert_is_tested_firing_and_not_firing(alert: str) -> None:
    files = [yaml.safe_load(path.read_text("utf-8")) for path in TEST_FILES]
    cases = [case for file in files for test in file["tests"] for case in test.get("alert_rule_test", ())]
    expected = {bool(case["exp_alerts"]) for case in cases if case["alertname"] == alert}
    assert expected == {True, False}


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_every_alert_says_how_bad_it_is_and_where_its_runbook_is(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].strip()
    assert rule["annotations"]["description"].strip()
    assert rule["annotations"]["runbook_url"] == f"{GUIDE}#{alert.lower()}"


def test_the_runbook_has_a_heading_for_each_alert_and_for_nothing_else() -> None:
    runbook = guide().split("\n## Runbook\n")[1]
    assert sorted(re.findall(r"^### (\w+)$", runbook, re.MULTILINE)) == sorted({*ALERTS, *OF_DAGSTER})


def test_the_guide_lists_exactly_the_metrics_that_are_exported() -> None:
    table = guide().split("\n## Metrics\n")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert rows == [_row(metric) for metric in METRICS], "every metric of the catalogue is one row, in its order"


def test_the_guide_explains_every_panel_as_the_dashboard_does() -> None:
    text = guide()
    shown = [f"- **{panel['title']}**: {panel['description']}" for panel in panels()]
    assert len(shown) > 20
    assert [line for line in shown if line not in text] == []


def test_the_guide_names_only_panels_that_exist() -> None:
    titles = {panel["title"] for panel in panels()}
    named = re.findall(r"(?<!\*)\*(?!\*)([^*]+)\*(?!\*)", guide().split("\n## Runbook\n")[1])
    assert {" ".join(name.split()) for name in named} <= titles


def test_committed_dashboards_are_what_the_script_builds(tmp_path: Path) -> None:
    scripts = str(REPOSITORY / "scripts")
    sys.path.insert(0, scripts)  # as Python does for a script
    try:
        script = runpy.run_path(str(REPOSITORY / "scripts" / "build_dashboards.py"))
    finally:
        sys.path.remove(scripts)
    script["write"](tmp_path, script["DOCS"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in GRAFANA.glob("*.json"))
    for path in tmp_path.iterdir():
        committed = (GRAFANA / path.name).read_text("utf-8")
        assert committed == path.read_text("utf-8"), "run `python scripts/build_dashboards.py`"


def test_expressions_name_only_metrics_that_somebody_exports() -> None:
    known = {"up", *(rule["record"] for rule in rules() if "record" in rule)}
    for metric in METRICS:
        histogram = (f"{metric.name}{part}" for part in ("_bucket", "_sum", "_count"))
        known |= set(histogram) if metric.kind is Kind.HISTOGRAM else {metric.name}
    asked = [rule["expr"] for rule in rules()]
    asked += [target["expr"] for panel in panels() for target in panel["targets"]]
    names = {name for expression in asked for name in metric_names(expression)}
    assert len(names) > 40
    assert names - known == set()


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.name)
def test_rules_ask_only_recording_rules_of_their_own_group(path: Path) -> None:
    """Groups are evaluated in no order: another one's may be an evaluation late."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
        own = {rule["record"] for rule in group["rules"] if "record" in rule}
        asked = {name for rule in group["rules"] for name in metric_names(rule["expr"])}
        assert asked & recorded <= own


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('sum by (stage, status) (rate(a_total{x=~"b_c|d", y="e"}[$__rate_interval])) * 60', {"a_total"}),
        ("time() - max(last_over_time(a_b[10m])) > 1 and on (stage) aegis:c:ratio1h > 5", {"a_b", "aegis:c:ratio1h"}),
        ("up == bool 0 or nobody_exports_this", {"up", "nobody_exports_this"}),
    ],
)
def test_metric_names_are_found_in_expressions(expression: str, expected: set[str]) -> None:
    assert metric_names(expression) == expected


def metric_names(expression: str) -> set[str]:
    """The metrics of an expression: words that are no function, label, text, duration or keyword."""
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", expression)
    text = re.sub(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    words = re.findall(r"(?<![\w:.])[a-zA-Z_:][\w:]*\b(?!\s*\()", text)
    return set(words) - {"and", "or", "unless", "bool", "offset", "sum", "min", "max", "count", "avg"}


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.unit} | {metric.help} | {metric.source} |"
