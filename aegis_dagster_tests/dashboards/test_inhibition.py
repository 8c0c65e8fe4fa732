"""A source that is down mutes whatever needs its figures: a gap is never taken for an all-clear."""

import re
from typing import Any

import pytest
import yaml

from aegis_dagster.monitoring.metrics.definitions import METRICS, Source
from aegis_dagster_tests.dashboards.test_monitoring_files import ALERTS, metric_names, rules
from aegis_dagster_tests.support.places import REPOSITORY

ROUTES = REPOSITORY / "dashboards" / "alertmanager" / "alertmanager.yml"
# Its rule keeps the last figures of the catalog, which a promtool test holds: it is a critical page of the ledger.
HELD = {("BudgetUsedUp", Source.CATALOG)}


def sources(expression: str) -> set[Source]:
    """Where an expression's figures come from, also through recording rules; the exporter knows about itself."""
    recorded = [rule for rule in rules() if "record" in rule]
    found: set[Source] = set()
    for name in metric_names(expression):
        parts = {name, re.sub(r"_(bucket|sum|count)$", "", name)}
        found |= {metric.source for metric in METRICS if metric.name in parts}
        for rule in recorded:
            found |= sources(rule["expr"]) if rule["record"] == name else set()
    return found - {Source.EXPORTER, Source.PUSHGATEWAY}


def muted(inhibition: dict[str, Any], source: dict[str, str], target: dict[str, str]) -> bool:
    """Whether an alert mutes another, as Alertmanager judges."""
    return (
        all(matches(one, source) for one in inhibition["source_matchers"])
        and all(matches(one, target) for one in inhibition["target_matchers"])
        and all(source.get(label, "") == target.get(label, "") for label in inhibition.get("equal", ()))
    )


def matches(matcher: str, labels: dict[str, str]) -> bool:
    read = re.fullmatch(r'(\w+)(=~|!~|!=|=)"(.*)"', matcher)
    assert read is not None, matcher
    label, operator, value = read.groups()
    found = labels.get(label, "")
    equal = re.fullmatch(value, found) is not None if "~" in operator else found == value
    return equal != operator.startswith("!")


NEEDED = sorted((name, source) for name, rule in ALERTS.items() for source in sources(rule["expr"]))


@pytest.mark.parametrize(("alert", "source"), NEEDED)
def test_each_source_that_an_alert_needs_mutes_it(alert: str, source: Source) -> None:
    inhibitions = yaml.safe_load(ROUTES.read_text("utf-8"))["inhibit_rules"]
    target = {"alertname": alert, **ALERTS[alert]["labels"]}
    down = {"alertname": "SourceDown", "severity": "warning", "source": str(source)}
    assert any(muted(one, down, target) for one in inhibitions) is ((alert, source) not in HELD)


def test_alerts_with_several_sources_are_known() -> None:
    of = {alert: {source for name, source in NEEDED if name == alert} for alert, _ in NEEDED}
    assert of["GraphViewMismatch"] == {Source.NEO4J, Source.EVIDENCE, Source.CATALOG}
    assert of["VectorStoreMismatch"] == {Source.QDRANT, Source.CATALOG}
    assert of["LlmLatencyHigh"] == {Source.LEDGER}
    assert set(of) == set(ALERTS) - {"ExporterDown", "SourceDown", "SourceStale"}
