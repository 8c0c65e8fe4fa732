"""`aegis ingest --dry-run`: the work and the cost of a run."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from aegis_dagster.cli.forecasts import print_forecast, project_of, sight_of
from aegis_dagster.cli.output import out
from aegis_dagster.cli.terminal import escape
from aegis_dagster.domain.stages import Stage, from_stage_on
from aegis_dagster.planning.plan import IDS_SHOWN, Plan, Sight, plan

_NAMED = 10  # of a listing, in one line


def planned(paths: Sequence[Path], *, confirm_deletions: bool, force_from: Stage | None) -> Plan:
    """The plan for these parts of the watched root. Raises what `aegis ingest` raises before it begins."""
    project = project_of(paths)
    sight = sight_of(project, paths, confirmed=confirm_deletions)
    return plan(project, sight.documents, sight, from_stage_on(force_from) if force_from else ())


def print_plan(shown: Plan) -> None:
    """Print the scan's findings, a table by stage, the documents with their reasons, and the forecast."""
    _print_sight(shown.sight)
    out.print(_table(shown))
    lines = shown.by_document()
    for name, why, stages in lines[:IDS_SHOWN]:
        out.print(f"{escape(name)}: {why} ({', '.join(stages)})")
    if len(lines) > IDS_SHOWN:
        out.print(f"{len(lines) - IDS_SHOWN} more")
    if shown.forecast is None:
        out.print(f"[yellow]no forecast:[/] {escape(shown.no_forecast)}")
    else:
        print_forecast(shown.forecast)
    out.print("Nothing was changed: this was a dry run.")


def _print_sight(sight: Sight) -> None:
    found = sight.to_json()
    for name in ("new", "changed", "moved", "deleted"):
        ids = found[name]["ids"]
        if ids:
            more = ", ..." if found[name]["documents"] > _NAMED else ""
            out.print(f"{name}: {found[name]['documents']} ({escape(', '.join(ids[:_NAMED]))}{more})")
    if sight.held:
        out.print("[yellow]held:[/] the deletions would wait for `--confirm-deletions`.")
    for item in sight.passed_over:
        out.print(f"[yellow]passed over:[/] {escape(item.path)}: {item.reason}. {escape(item.remedy)}")


def _table(shown: Plan) -> Table:
    table = Table(title="What would be done")
    for name in ("stage", "documents", "to do", "up to date", "failed for good"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    table.add_column("because")
    for stage in shown.stages:
        because = ", ".join(f"{count} {why}" for why, count in stage.to_json()["reasons"].items())
        counts = (stage.documents, len(stage.work), stage.up_to_date, stage.failed_for_good)
        table.add_row(str(stage.stage), *(f"{count:,}" for count in counts), because)
    return table
