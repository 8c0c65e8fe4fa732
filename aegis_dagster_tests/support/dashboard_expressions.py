"""Every query that dashboards and rules send to Prometheus, as it is sent."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from aegis_dagster_tests.support.places import REPOSITORY

DASHBOARDS = REPOSITORY / "dashboards"
RULE_FILES = sorted((DASHBOARDS / "prometheus" / "rules").glob("*.yml"))
# A comparison with a number; `== bool 0` is arithmetic. What two of them joined by `and` compare is asked of both.
_THRESHOLD = re.compile(r"\s*(?:==|!=|>=|<=|>|<)\s*-?\d+(?:\.\d+)?(?![\w.])")


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression and its place."""

    file: str
    name: str  # of the panel, variable, alert or recording rule
    text: str
    instant: bool  # asked for one moment, not for a span of time

    def __str__(self) -> str:
        """The name in a failure message."""
        return f"{self.file}, {self.name}: {self.text}"


def of_panels(*, scrape_seconds: float) -> list[Expression]:
    """The queries of all panels, with every variable set to all, and short steps as after zooming in."""
    return [
        Expression(path.name, panel["title"], _filled_in(target["expr"], dashboard, scrape_seconds), target["instant"])
        for path, dashboard in _dashboards()
        for panel in _panels(dashboard)
        for target in panel["targets"]
    ]


def of_variables(*, scrape_seconds: float) -> list[Expression]:
    """The queries that fill the variables' lists: a series for each entry."""
    found = []
    for path, dashboard in _dashboards():
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
                assert asked is not None, f"{path.name}, ${variable['name']}: {variable['query']}"
                text = _filled_in(f"group by ({asked[2]}) ({asked[1]})", dashboard, scrape_seconds)
                found.append(Expression(path.name, f"${variable['name']}", text, instant=True))
    return found


def of_recording_rules() -> list[Expression]:
    """The queries of the recording rules, unchanged."""
    return [Expression(file, rule["record"], rule["expr"], instant=True) for file, rule in _rules() if "record" in rule]


def of_alerts() -> list[Expression]:
    """The queries of the alerts without their thresholds, so that they have values also when nothing is wrong."""
    found = []
    for file, rule in _rules():
        if "alert" in rule:
            text, thresholds = _THRESHOLD.subn("", rule["expr"])
            assert thresholds, f"{file}, {rule['alert']}: {rule['expr']}"
            found.append(Expression(file, rule["alert"], text, instant=True))
    return found


def _dashboards() -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted((DASHBOARDS / "grafana").glob("*.json")):
        yield path, json.loads(path.read_text("utf-8"))


def _panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in dashboard["panels"]:
        yield from (one for one in (panel, *panel.get("panels", ())) if one["type"] != "row")


def _rules() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in RULE_FILES:
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
            for rule in group["rules"]:
                yield path.name, rule


def _filled_in(text: str, dashboard: dict[str, Any], scrape_seconds: float) -> str:
    """As Grafana does: "All" is the variable's allValue, $__rate_interval at least four scrapes."""
    values = {
        variable["name"]: variable["allValue"]
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
    }
    values["__rate_interval"] = f"{4 * scrape_seconds:g}s"
    for name, value in values.items():
        text = re.sub(rf"\$(?:{name}\b|\{{{name}\}})", value, text)
    assert "$" not in text, text
    return text
