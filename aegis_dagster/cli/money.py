"""The money commands of `aegis`, and their options."""

from typing import TYPE_CHECKING, Annotated

import typer

from aegis_dagster.cli.options import Json, Paths
from aegis_dagster.cli.output import errors_shown, print_json
from aegis_dagster.errors import ConfigurationError

if TYPE_CHECKING:
    from aegis_dagster.cli.budgets import Budgets

Name = Annotated[str, typer.Argument(metavar="NAME", help="A provider, or with --collection a collection.")]
Usd = Annotated[str, typer.Argument(metavar="USD", help="E.g. 25 or 12.50.")]
OfCollection = Annotated[bool, typer.Option("--collection", help="NAME is a collection.")]

budget_app = typer.Typer(invoke_without_command=True)
_AMOUNTS = {"ignore_unknown_options": True}  # "-5" is an amount to be refused as such, not an option


def add_to(app: typer.Typer) -> None:
    """Add the commands to `aegis`."""
    app.command()(costs)
    app.command()(forecast)
    app.add_typer(budget_app, name="budget", help="Show or change this month's budgets.")


def costs(
    by: Annotated[
        list[str] | None,
        typer.Option(help="provider, model, task_type, stage, collection, document, day; several with commas."),
    ] = None,
    month: Annotated[str | None, typer.Option(help="As 2026-11 (UTC); default: this month.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All months.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="The calls without an answer, and why.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV on stdout.")] = False,
    as_json: Json = False,
) -> None:
    """Show what was spent, on what, and what is left."""
    from aegis_dagster.cli import costs as work
    from aegis_dagster.cli import failed_calls
    from aegis_dagster.composition.project import open_project

    with errors_shown(as_json):
        if as_csv and as_json:
            raise ConfigurationError("--csv and --json exclude each other.", remedy="give one of them.")
        project = open_project()
        groups = work.chosen_groups(by or [])
        chosen = work.chosen_month(project, month, every=every)
        if failed and groups:
            raise ConfigurationError("--failed and --by exclude each other.", remedy="give one of them.")
        if failed and as_json:
            print_json(failed_calls.failed_values(project, chosen))
        elif failed and as_csv:
            failed_calls.print_failed_rows(failed_calls.failed_values(project, chosen))
        elif failed:
            failed_calls.print_failed(project, chosen)
        elif as_json:
            print_json(work.cost_values(project, groups, chosen))
        elif as_csv:
            work.print_rows(work.cost_values(project, groups, chosen), groups)
        else:
            work.print_costs(project, groups, chosen)


def forecast(
    paths: Paths = None,
    as_json: Json = False,
) -> None:
    """Estimate which model calls `aegis ingest` would make now, and their cost. Calls no model, changes nothing."""
    from aegis_dagster.cli import forecasts

    with errors_shown(as_json):
        expected = forecasts.expected(paths or [])
        if as_json:
            print_json(expected.to_json())
        else:
            forecasts.print_forecast(expected)


@budget_app.callback()
def budget(context: typer.Context, as_json: Json = False) -> None:
    """Show or change this month's budgets; without a command, show them."""
    if context.invoked_subcommand is None:
        show(as_json)
    elif as_json:
        raise typer.BadParameter("--json goes after the command: `aegis budget show --json`.")


@budget_app.command()
def show(as_json: Json = False) -> None:
    """Show this month's budgets, what is spent and what is left."""
    from aegis_dagster.cli import budgets
    from aegis_dagster.composition.project import open_project

    with errors_shown(as_json):
        _show(budgets.budgets(open_project()), as_json)


@budget_app.command("set", context_settings=_AMOUNTS)
def set_limit(name: Name, usd: Usd, collection: OfCollection = False, as_json: Json = False) -> None:
    """Set this month's limit in USD, whatever aegis.yaml says."""
    from aegis_dagster.cli import budgets
    from aegis_dagster.composition.project import open_project

    with errors_shown(as_json):
        _show(budgets.set_budget(open_project(), name, usd, collection=collection), as_json)


@budget_app.command("raise", context_settings=_AMOUNTS)
def raise_limit(name: Name, usd: Usd, collection: OfCollection = False, as_json: Json = False) -> None:
    """Raise this month's limit by an amount in USD."""
    from aegis_dagster.cli import budgets
    from aegis_dagster.composition.project import open_project

    with errors_shown(as_json):
        _show(budgets.raise_budget(open_project(), name, usd, collection=collection), as_json)


@budget_app.command()
def reset(name: Name, collection: OfCollection = False, as_json: Json = False) -> None:
    """Let the limit follow aegis.yaml again."""
    from aegis_dagster.cli import budgets
    from aegis_dagster.composition.project import open_project

    with errors_shown(as_json):
        _show(budgets.reset_budget(open_project(), name, collection=collection), as_json)


def _show(shown: "Budgets", as_json: bool) -> None:
    from aegis_dagster.cli import budgets

    if as_json:
        print_json(shown.to_json())
    else:
        budgets.print_budgets(shown)
