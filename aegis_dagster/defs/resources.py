"""The resources: settings become a project, and somebody watches how far a run is.

Belongs here: ConfigurableResources that build plain objects, and the settings that definitions are built from.
Does not belong here: work; reading the environment (`settings.py`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Protocol

import dagster as dg
from pydantic import Field

from aegis_dagster.composition import Project
from aegis_dagster.errors import AegisError
from aegis_dagster.ports import Progress
from aegis_dagster.progress import LoggedProgress
from aegis_dagster.settings import Settings, load_settings
from aegis_dagster.stages.report import StageReport


class RunObserver(Protocol):
    """Somebody who wants to see a run from inside its process: the command line."""

    def progress(self) -> Progress: ...

    def stage_finished(self, report: StageReport) -> None: ...


# Not a field of the resource: dagster builds a new resource object for every run.
_observer: ContextVar[RunObserver | None] = ContextVar("aegis_run_observer", default=None)


@contextmanager
def observed_by(observer: RunObserver) -> Iterator[None]:
    """Runs inside the block, in this process, tell the observer how far they are."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def settings_or_defaults(home: str | None) -> Settings:
    """The settings of a home, or the defaults where they cannot be read.

    Definitions load with broken settings too; whoever opens the project is told what is wrong with them.
    """
    try:
        return load_settings(Path(home) if home else None)
    except (AegisError, OSError, ValueError):
        return Settings.model_construct()


class ProjectResource(dg.ConfigurableResource[None]):
    """Opens the project: catalog, artifacts, vector store, evidence."""

    home: str | None = Field(default=None, description="The project's home; default: AEGIS_HOME.")
    seconds_before_retry: float = Field(
        default=10.0, description="How long a step waits before it tries again when a service is broken."
    )

    def open(self) -> Project:
        """The project of these settings. Raises ConfigurationError."""
        return Project(load_settings(Path(self.home) if self.home else None))

    @contextmanager
    def opened(self) -> Iterator[Project]:
        """The same for a block, as in each tick of a sensor: the process lives on. Raises ConfigurationError."""
        project = self.open()
        try:
            yield project
        finally:
            project.close()

    def progress(self, log: Callable[[str], None]) -> Progress:
        """Where the stages report how far they are."""
        observer = _observer.get()
        return observer.progress() if observer else LoggedProgress(log)

    def stage_finished(self, report: StageReport) -> None:
        """Tell the observer, if there is one."""
        observer = _observer.get()
        if observer:
            observer.stage_finished(report)
