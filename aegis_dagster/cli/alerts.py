"""The paging commands of `aegis` and their output."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from aegis_dagster.cli.options import Json
from aegis_dagster.cli.output import EXIT_SERVICE, errors_shown, out, print_json
from aegis_dagster.cli.terminal import escape, escape_lines
from aegis_dagster.errors import ConfigurationError

if TYPE_CHECKING:
    from aegis_dagster.composition.project import Project
    from aegis_dagster.domain.alerts import Links, Page
    from aegis_dagster.ports import PageChannel


alerts_app = typer.Typer(invoke_without_command=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands to `aegis`."""
    app.add_typer(alerts_app, name="alerts", help="List failing checks and runs, and pages not delivered yet.")


@alerts_app.callback()
def alerts(context: typer.Context, as_json: Json = False) -> None:
    """List failing checks and runs, and pages not delivered yet."""
    from aegis_dagster.composition.project import Project

    if context.invoked_subcommand is not None:
        if as_json:
            raise typer.BadParameter("--json goes after the command: `aegis alerts test --json`.")
        return
    with errors_shown(as_json):
        values = alert_values(Project())
        if as_json:
            print_json(values)
        else:
            print_alerts(values)


@alerts_app.command()
def test(as_json: Json = False) -> None:
    """Send a test page through every channel, and show the results."""
    from aegis_dagster.composition.project import Project
    from aegis_dagster.monitoring.paging.pager import send_test

    with errors_shown(as_json):
        project = Project()
        outcome = send_test(_channels(project), project.clock)
        errors = {name: error for name, error in outcome.items() if error is not None}
        if as_json:
            print_json({"channels": {name: None if error is None else str(error) for name, error in outcome.items()}})
        else:
            for name, error in outcome.items():
                out.print(f"[green]ok[/] {name}" if error is None else f"[red]!![/] {name}: {escape(str(error))}")
    if errors:
        raise typer.Exit(EXIT_SERVICE)


@alerts_app.command()
def clear(
    alert: Annotated[str, typer.Argument(help="The alert's id, as `aegis alerts` shows it.")], as_json: Json = False
) -> None:
    """End an alert that cannot end by itself, because its asset, check, job or partition is gone; send the all-clear.

    If its check or job fails again, it pages again.
    """
    from aegis_dagster.composition.project import Project
    from aegis_dagster.domain.alerts import AlertEvent, Told
    from aegis_dagster.stores.alerts.alerts import now_us

    with errors_shown(as_json):
        project = Project()
        found = [page for page in project.alerts.firing() if page.key.short == alert]
        if not found:
            raise ConfigurationError(f"No alert with the id {alert} fires.", remedy="`aegis alerts` lists what fires.")
        told = Told("Somebody ended it with `aegis alerts clear`.")
        project.alerts.apply([AlertEvent(page.key, now_us(project.clock), None, told) for page in found])
        if as_json:
            print_json({"cleared": [page.key.title for page in found]})
        else:
            out.print(escape(f"{found[0].key.title}: the sensor sends the all-clear at its next tick."))


@alerts_app.command()
def forget(
    channel: Annotated[str, typer.Argument(help="Its name, as `aegis alerts` shows it.")], as_json: Json = False
) -> None:
    """Drop a channel that is no longer configured, with its undelivered pages."""
    from aegis_dagster.composition.project import Project

    with errors_shown(as_json):
        if not Project().alerts.forget(channel):
            raise ConfigurationError(f"There is no channel {channel}.", remedy="`aegis alerts` lists all channels.")
        if as_json:
            print_json({"forgotten": channel})
        else:
            out.print(escape(f"{channel} is forgotten."))


def _channels(project: "Project") -> list["PageChannel"]:
    """The channels. Without any, there is nothing to do."""
    from aegis_dagster.composition.pager import paging_channels

    found = paging_channels(project)
    if not found:
        from aegis_dagster.monitoring.paging.channels import HOW_TO

        raise ConfigurationError("Nobody is paged.", remedy=HOW_TO)
    return found


def alert_values(project: "Project") -> dict[str, Any]:
    """The firing alerts and the undelivered pages, as plain values."""
    from aegis_dagster.composition.pager import links_of
    from aegis_dagster.stores.alerts.outbox import AlertsOutbox

    stored, links = project.alerts, links_of(project)
    undelivered = AlertsOutbox(project.engine, project.clock).undelivered()
    return {
        "firing": [_page_values(page, links) for page in stored.firing()],
        "waiting": dict(stored.waiting_by_channel()),
        "undelivered": [
            {
                "channel": message.channel,
                "summary": message.page.summary,
                "firing": message.page.firing,
                "created": message.created.isoformat(),
                "attempts": message.attempts,
                "error": message.error,
            }
            for message in undelivered
        ],
    }


def _page_values(page: "Page", links: "Links") -> dict[str, Any]:
    from datetime import UTC, datetime

    since = datetime.fromtimestamp(page.since_us / 1_000_000, UTC)
    return {"id": page.key.short, **page.labels(), "since": since.isoformat(), **page.annotations(links)}


def print_alerts(values: dict[str, Any]) -> None:
    """Print them as two tables."""
    from rich.table import Table

    if values["firing"]:
        table = Table("id", "severity", "since", "what", "why")
        for one in values["firing"]:
            said = "\n".join(one[name] for name in ("description", "figures", "run_url") if name in one)
            table.add_row(one["id"], one["severity"], one["since"][:16], escape(one["summary"]), escape_lines(said))
        out.print(table)
    else:
        out.print("Nothing fires.")
    for name, count in values["waiting"].items():
        out.print(f"{name}: {f'{count} not delivered' if count else 'everything delivered'}")
    if values["undelivered"]:
        table = Table("channel", "created", "page", "attempts", "last error")
        for one in values["undelivered"]:
            kind = "" if one["firing"] else "all clear: "
            created = one["created"][:16]
            table.add_row(
                one["channel"], created, escape(kind + one["summary"]), str(one["attempts"]), escape(one["error"])
            )
        out.print(table)
