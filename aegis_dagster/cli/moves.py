"""`aegis move-home`: copies a home's database to a server and its artifacts to another place; the home stays as it is.

Nothing is made again and nothing is paid again: ledger and caches move with the catalog. Vectors are a view, and
Dagster's history is no truth: both stay where they are.
"""

import hashlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from aegis_dagster.cli.output import out
from aegis_dagster.cli.terminal import escape
from aegis_dagster.composition.artifacts import copy_artifacts
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.addresses import without_secrets
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.ports import Progress
from aegis_dagster.stores.artifacts import FolderArtifacts
from aegis_dagster.stores.catalog.repairs import CatalogRepairs
from aegis_dagster.stores.database import shown_database, write
from aegis_dagster.stores.moving import Contents, copy_database


@dataclass(frozen=True, slots=True)
class Moved:
    """What is in the new places, and the settings that lead there."""

    database: str  # without a password
    tables: Mapping[str, Contents]
    artifacts: int  # in the place that `artifacts.url` names; 0 without one
    left_out: int  # damaged or gone: a run makes them again
    settings: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """The JSON contract of `move-home`."""
        return {
            "database": self.database,
            "tables": {name: contents.to_json() for name, contents in self.tables.items()},
            "artifacts": self.artifacts,
            "left_out": self.left_out,
            "settings": dict(self.settings),
        }


def move_home(project: Project, to: str, progress: Progress) -> Moved:
    """Copy what the home of the settings holds. While it is copied, nobody else writes into the home.

    Raises ConfigurationError when there is nothing to move, when a run is at work, or when the target holds something
    else; ServiceError.
    """
    file = _source_file(project)
    _refuse_other_kinds(to)
    _refuse_work(project)
    name = hashlib.sha256(f"{socket.gethostname()}\n{file.resolve()}".encode()).hexdigest()
    with write(project.engine) as source:  # holds SQLite's lock
        artifacts, left_out = _copy_artifacts(project, progress)  # first: the database makes the copy a home
        tables = copy_database(source, to, name, progress)
    url = sa.engine.make_url(to)
    settings = {"AEGIS_DATABASE": url.set(password=None, query={}).render_as_string()}
    if project.settings.root is not None:
        settings["AEGIS_ROOT"] = str(project.settings.root)
    if project.settings.artifacts.url is not None:
        settings["AEGIS_ARTIFACTS__URL"] = project.settings.artifacts.url
    return Moved(shown_database(url), tables, artifacts, left_out, settings)


def _copy_artifacts(project: Project, progress: Progress) -> tuple[int, int]:
    """Publish the artifacts of the home's folder where `artifacts.url` leads. Returns how many were, and were not."""
    if project.settings.artifacts.url is None:
        return 0, 0
    wanted = CatalogRepairs(project.engine, project.clock).artifacts()
    source = FolderArtifacts(project.settings.artifacts_dir, project.clock)
    left_out = copy_artifacts(wanted, source, project.artifacts, progress)
    return len(wanted) - left_out, left_out


def print_moved(moved: Moved) -> None:
    """Print what was moved and what to set."""
    rows = sum(contents.rows for contents in moved.tables.values())
    out.print(f"{escape(moved.database)} holds {rows} rows in {len(moved.tables)} tables, equal to those of the home.")
    if moved.artifacts or moved.left_out:
        out.print(f"{moved.artifacts} artifacts are there as well, read back and compared.")
    if moved.left_out:
        out.print(f"[yellow]left out:[/] {moved.left_out} artifacts that are damaged or gone; a run makes them again.")
    out.print("Set this for every process, with the password, then run `aegis doctor`:")
    for name, value in moved.settings.items():
        out.print(f"  export {name}={escape(value)}", soft_wrap=True)
    out.print("The old home is as it was. Do not use it with both: what is ingested there is not moved any more.")


def _source_file(project: Project) -> Path:
    url = project.settings.database_url
    if not url.startswith("sqlite:///"):
        raise ConfigurationError(
            f"The home's database is on a server already: {shown_database(sa.engine.make_url(url))}.",
            remedy="use the server's own tools (`pg_dump`, `pg_restore`), or unset AEGIS_DATABASE to move the home's "
            "SQLite file.",
        )
    file = Path(url.removeprefix("sqlite:///"))
    if not file.is_file():
        raise ConfigurationError(f"{project.settings.home} has nothing to move.", remedy="set AEGIS_HOME to the home.")
    return file


def _refuse_other_kinds(to: str) -> None:
    if not to.startswith(("postgresql://", "postgresql+psycopg2://")):
        raise ConfigurationError(
            f"{without_secrets(to)} is no address of a Postgres database.",
            remedy="write it as postgresql+psycopg2://USER@HOST/NAME; the password may be in PGPASSWORD or ~/.pgpass.",
        )


def _refuse_work(project: Project) -> None:
    """Raises ConfigurationError if a run is at work: what it has begun would be missing in the copy."""
    from aegis_dagster.cli.dagster_runs import runs_at_work

    busy = runs_at_work(project.settings)
    held = project.catalog.held()
    if not busy and not held:
        return
    what = f"the runs {', '.join(busy)}" if busy else f"{held} documents"
    raise ConfigurationError(
        f"Somebody is at work in {project.settings.home}: {what}.",
        remedy="wait until it has ended, or end it, and stop `aegis dev` and the daemon; then run this again.",
    )
