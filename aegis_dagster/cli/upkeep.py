"""The commands that look after a home: `aegis audit`, `aegis backup`, `aegis restore` and `aegis move-home`."""

from pathlib import Path
from typing import Annotated

import typer

from aegis_dagster.cli.options import Json
from aegis_dagster.cli.output import errors_shown, print_json, progress_shown


def add_to(app: typer.Typer) -> None:
    """Add the commands to `aegis`."""
    app.command()(audit)
    app.command()(backup)
    app.command()(restore)
    app.command("move-home")(move_home)


def audit(
    repair: Annotated[
        bool, typer.Option("--repair", help="Reset what is damaged, so that the next run makes it again.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check that database, artifacts and vectors are as they were written. Exit code 1: make something again."""
    from aegis_dagster.cli import audit as work
    from aegis_dagster.composition.project import open_project

    with errors_shown(as_json):
        with progress_shown() as progress:
            found = work.audit(open_project(), progress, repair=repair)
        if as_json:
            print_json(found.to_json())
        else:
            work.print_audit(found, repair=repair)
        if found.exit_code:
            raise typer.Exit(found.exit_code)


def backup(
    target: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")], as_json: Json = False
) -> None:
    """Copy the catalog, the ledger, the caches and the artifacts, also while a run is at work."""
    from aegis_dagster.cli import backups
    from aegis_dagster.composition.project import Project

    with errors_shown(as_json):
        with progress_shown() as progress:
            done = backups.back_up(Project(), target, progress)
        if as_json:
            print_json(done.to_json())
        else:
            backups.print_copied(done, "Backed up to")


def restore(source: Annotated[Path, typer.Argument(help="A backup's folder.")], as_json: Json = False) -> None:
    """Make a new home (AEGIS_HOME) of a backup; its vectors are made again without paid calls."""
    from aegis_dagster.cli import backups
    from aegis_dagster.settings import load_settings

    with errors_shown(as_json):
        with progress_shown() as progress:
            done = backups.restore(load_settings(), source, progress)
        if as_json:
            print_json(done.to_json())
        else:
            backups.print_copied(done, "Restored to")


def move_home(
    to: Annotated[str, typer.Option("--to", help="An empty database: postgresql+psycopg2://USER@HOST/NAME.")],
    as_json: Json = False,
) -> None:
    """Copy the home's database to a Postgres server, and its artifacts to `artifacts.url` if that is set.

    The home stays as it is; what was interrupted goes on.
    """
    from aegis_dagster.cli import moves
    from aegis_dagster.composition.project import Project

    with errors_shown(as_json):
        with progress_shown() as progress:
            moved = moves.move_home(Project(), to, progress)
        if as_json:
            print_json(moved.to_json())
        else:
            moves.print_moved(moved)
