"""`aegis forecast`: the model calls that the next run would make."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from aegis_dagster.cli.output import out
from aegis_dagster.cli.terminal import escape
from aegis_dagster.composition.call_estimates import ENOUGH_CALLS
from aegis_dagster.composition.project import Project, open_project
from aegis_dagster.domain.money import shown_usd
from aegis_dagster.errors import UnknownDocument
from aegis_dagster.planning.forecast import Forecast, forecast
from aegis_dagster.planning.plan import Sight, look
from aegis_dagster.settings import load_settings, normalized


def expected(paths: Sequence[Path]) -> Forecast:
    """The forecast for these parts of the watched root in their current state on the disk.

    Raises ConfigurationError, OutsideRoot, UnknownDocument, RootUnreadable.
    """
    project = project_of(paths)
    return forecast(project, sight_of(project, paths).documents)


def sight_of(project: Project, paths: Sequence[Path], *, confirmed: bool = False) -> Sight:
    """These parts of the watched root as they are now; all of it if none is given.

    confirmed: deletions would not be held. Raises OutsideRoot, UnknownDocument, RootUnreadable.
    """
    seen = []
    for scope in dict.fromkeys(project.scope_of(path) for path in paths) or [""]:
        seen.append(look(project, scope, confirmed=confirmed))
        if not seen[-1].documents and scope:
            raise UnknownDocument(f"There is no document in {project.watched_root}/{scope}.", remedy="check the path.")
    return Sight.of(seen)


def print_forecast(shown: Forecast) -> None:
    """Print a table by stage and model, with notes."""
    rows = shown.to_json()["rows"]
    if not rows:
        out.print("The next run calls no model: 0 calls, 0 USD.")
    else:
        out.print(_table(shown, rows))
    if any(row["basis"] == "guess" and row["cost_nanousd"] for row in rows):
        out.print(
            f"~ estimated from the length of texts and usual answers; after {ENOUGH_CALLS} calls to a model the "
            "forecast uses their mean."
        )
    if shown.estimated_documents:
        out.print(
            f"{shown.estimated_documents} of {shown.documents} documents are not parsed or not chunked yet: how many "
            "calls they need is estimated from files like them."
        )
    for name, error in sorted(shown.over_limit.items()):
        out.print(f"[yellow]over a limit:[/] {escape(name)}: {error.message} {error.remedy}")
    for note in shown.notes:
        out.print(f"[yellow]note:[/] {escape(note)}")


def _table(shown: Forecast, rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="Forecast of the next run", show_footer=True)
    table.add_column("stage", footer="all")
    table.add_column("model", no_wrap=True)
    totals = {"documents": shown.documents, "calls": shown.totals.calls}
    totals |= {"input": shown.totals.input_tokens, "output": shown.totals.output_tokens}
    for name, total in totals.items():
        table.add_column(name, justify="right", footer=f"{total:,}")
    table.add_column("USD", justify="right", no_wrap=True, footer=shown_usd(shown.totals.cost))
    for row in rows:
        guessed = "~" if row["basis"] == "guess" and row["cost_nanousd"] else ""
        table.add_row(
            str(row["stage"]),
            escape(f"{row['provider']}/{row['model']}"),
            *[f"{row[name]:,}" for name in ("documents", "calls", "input_tokens", "output_tokens")],
            guessed + shown_usd(row["cost_nanousd"]),
        )
    return table


def project_of(paths: Sequence[Path]) -> Project:
    """The project. If no root is set yet, the first folder given is used as the root, but is not remembered."""
    settings = load_settings()
    if settings.root is None:
        folder = next((path for path in paths if path.is_dir()), None)
        if folder is not None:
            settings = settings.model_copy(update={"root": normalized(folder)})
    return open_project(settings)
