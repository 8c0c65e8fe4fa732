"""The commands that serve until Ctrl-C: `aegis metrics` and `aegis dev`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aegis_dagster.cli.output import err, errors_shown
from aegis_dagster.cli.terminal import escape
from aegis_dagster.domain.visible import visible_lines

if TYPE_CHECKING:
    from aegis_dagster.monitoring.metrics.other_sources import RunNumbers


def add_to(app: typer.Typer) -> None:
    """Add the commands to `aegis`."""
    app.command()(dev)
    app.command()(metrics)


def metrics(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: metrics.host.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port, 0 for any free one; default: metrics.port.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Print the metrics once and exit.")] = False,
) -> None:
    """Serve metrics for Prometheus until Ctrl-C: documents, stages, stores, runs and model costs."""
    from aegis_dagster.composition.exporter import build_exporter
    from aegis_dagster.monitoring.metrics.server import MetricsServer, exposition
    from aegis_dagster.settings import load_settings

    with errors_shown(False):
        settings = load_settings()
        exporter = build_exporter(settings, _read_runs)
        if once:
            exporter.refresh()
            sys.stdout.write(visible_lines(exposition(exporter)))
            return
        chosen_port = settings.metrics.port if port is None else port
        server = MetricsServer(exporter, host or settings.metrics.host, chosen_port)
        exporter.start()
        # Flushed, also into a pipe: whoever started the exporter waits for the address.
        print(f"Serving metrics at {server.url}", flush=True)
        server.serve()


def _read_runs(home: Path) -> "RunNumbers":
    # Importing Dagster takes over a second: the address is printed before.
    from aegis_dagster.defs.run_metrics import read_runs

    return read_runs(home)


def dev(
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="Port of the webserver.")] = 3000,
) -> None:
    """Run Dagster over this home: webserver, daemon and code location, on loopback. Ctrl-C ends all of it."""
    from aegis_dagster.cli import dev as work
    from aegis_dagster.composition.project import open_project

    with errors_shown(as_json=False):
        project = open_project()
        work.check_port(port)
        work.prepare(project)
        err.print(f"Watched root: {escape(str(project.watched_root))}")
        err.print(f"State:        {escape(str(project.settings.home))}")
        err.print(f"Dagster:      http://{work.HOST}:{port} (in some 15 s; Ctrl-C ends it)")
        work.become_dagster(project, port)
