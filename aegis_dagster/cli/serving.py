"""The commands of `aegis` that serve until they are ended: `aegis dev`.

Belongs here: typer declarations. Does not belong here: work (`dev.py`).
"""

from typing import Annotated

import typer
from rich.markup import escape

from aegis_dagster.cli.output import err, errors_shown


def add_to(app: typer.Typer) -> None:
    """Add the commands to `aegis`."""
    app.command()(dev)


def dev(
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="Where the webserver listens.")] = 3000,
) -> None:
    """Dagster over this home: webserver, daemon and code location, on loopback. Ctrl-C ends all of it."""
    from aegis_dagster.cli import dev as work
    from aegis_dagster.composition import Project

    with errors_shown(as_json=False):
        project = Project()
        work.check_port(port)
        work.prepare(project)
        err.print(f"Watched root: {escape(str(project.watched_root))}")
        err.print(f"State:        {escape(str(project.settings.home))}")
        err.print(f"Dagster:      http://{work.HOST}:{port} (in some 15 s; Ctrl-C ends it)")
        work.become_dagster(project, port)
