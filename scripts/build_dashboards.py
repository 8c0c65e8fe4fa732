"""Writes the dashboards of Grafana: `python scripts/build_dashboards.py [--into FOLDER] [--docs URL]`.

Grafana cannot know where this repository is shown. --docs names the folder of MONITORING.md there, so that the links
of the dashboards lead to the guide; without it they name the file.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import dashboard_ingestion
import dashboard_llm
from dashboard_panels import DATASOURCE, Panel, built
from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

FOLDER = Path(__file__).parents[1] / "dashboards" / "grafana"
DOCS = "docs/guides"
_TAG = "aegis"


def llm_monitoring(docs: str) -> dashboard.Dashboard:
    """Models and money."""
    made = _dashboard("aegis-llm-monitoring", "Aegis: models and money", docs)
    made.with_variable(_values("provider", "Provider", "label_values(llm_requests_total, provider)"))
    query = 'label_values(llm_requests_total{provider=~"$provider"}, model)'
    made.with_variable(_values("model", "Model", query))
    return _with_rows(made, dashboard_llm.ROWS)


def ingestion(docs: str) -> dashboard.Dashboard:
    """Documents, stores and runs."""
    made = _dashboard("aegis-ingestion", "Aegis: documents, stores and runs", docs)
    made.with_variable(_values("collection", "Collection", "label_values(aegis_documents, collection)"))
    return _with_rows(made, dashboard_ingestion.ROWS)


DASHBOARDS = {"llm_monitoring": llm_monitoring, "ingestion": ingestion}


def write(folder: Path, docs: str) -> None:
    """All dashboards, each as <name>.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in DASHBOARDS.items():
        text = json.dumps(make(docs).build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", "utf-8")


def _dashboard(uid: str, title: str, docs: str) -> dashboard.Dashboard:
    made = dashboard.Dashboard(title).uid(uid).tags([_TAG]).timezone("utc").readonly()
    made.tooltip(models.DashboardCursorSync.CROSSHAIR).refresh("30s").time("now-6h", "now")
    made.description(f"Built by scripts/build_dashboards.py. Every panel is explained in {DOCS}/MONITORING.md.")
    runbook = dashboard.DashboardLink("What the panels show, and the runbook").type(models.DashboardLinkType.LINK)
    made.link(runbook.url(f"{docs}/MONITORING.md").icon("doc").target_blank(True))
    others = dashboard.DashboardLink("Dashboards of Aegis").type(models.DashboardLinkType.DASHBOARDS)
    made.link(others.tags([_TAG]).keep_time(True))
    return made.with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))


def _values(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """A variable with the values of a label; all of them at first."""
    everything = models.VariableOption(text="All", value="$__all", selected=True)
    made = dashboard.QueryVariable(name).label(label).datasource(DATASOURCE).query(query)
    made.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
    return made.multi(True).include_all(True).all_value(".*").current(everything)


def _with_rows(made: dashboard.Dashboard, rows: Mapping[str, Sequence[Panel]]) -> dashboard.Dashboard:
    """Panels from left to right under their row's heading; ids count from 1."""
    number = 0
    for title, panels in rows.items():
        number += 1
        made.with_row(dashboard.Row(title).id(number))
        for panel in panels:
            number += 1
            made.with_panel(built(panel, number))
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the dashboards of Grafana.")
    parser.add_argument("--into", type=Path, default=FOLDER, help="folder (dashboards/grafana)")
    parser.add_argument("--docs", default=DOCS, help="address of the folder that holds MONITORING.md")
    arguments = parser.parse_args()
    write(arguments.into, arguments.docs.rstrip("/"))
