"""The resources: they turn settings into a project and report the progress of a run."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import dagster as dg
from pydantic import Field

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.ended_runs import ended_with_its_run
from aegis_dagster.domain.markdown import unlinked
from aegis_dagster.embedding.model_files import model_dir
from aegis_dagster.environment import keep_font_list_in
from aegis_dagster.errors import AegisError, ConfigurationError
from aegis_dagster.llm.gateway import Gateway
from aegis_dagster.ports import Progress
from aegis_dagster.progress import LoggedProgress
from aegis_dagster.settings import Settings, load_settings
from aegis_dagster.stages.context import StageReport
from aegis_dagster.stores.ledger.reports import LedgerReports

_MAX_RETRIES = 3


class RunObserver(Protocol):
    """Follows a run from inside its process. The command line implements it; nothing here may import that."""

    def progress(self) -> Progress: ...

    def stage_finished(self, report: StageReport) -> None: ...


# Not a field of the resource: dagster builds a new resource object for every run.
_observer: ContextVar[RunObserver | None] = ContextVar("aegis_run_observer", default=None)


@contextmanager
def observed_by(observer: RunObserver) -> Iterator[None]:
    """Within the block, runs in this process report their progress to the observer."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def settings_or_defaults(home: str | None) -> Settings:
    """The settings of a home, or the defaults where they cannot be read.

    Definitions load even with broken settings; opening the project reports what is wrong with them.
    """
    try:
        return load_settings(Path(home) if home else None)
    except (AegisError, OSError, ValueError):
        return Settings.model_construct()


class _HomeResource(dg.ConfigurableResource[None]):
    """Opens something of one home."""

    home: str | None = Field(default=None, description="The project's home; default: AEGIS_HOME.")

    def loaded(self) -> Settings:
        """The settings of this home. Raises ConfigurationError."""
        settings = load_settings(Path(self.home) if self.home else None)
        keep_font_list_in(model_dir(settings.model_cache).with_name("matplotlib"))
        return settings


class ProjectResource(_HomeResource):
    """Opens the project: catalog, artifacts, vector store, evidence."""

    seconds_before_retry: float = Field(
        default=10.0, description="How long a step waits before it tries again when a service is broken."
    )

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Any]:
        """For all steps of a run that one process takes, workers load what they need once."""
        from aegis_dagster.workers.processes import template_kept

        with template_kept(), ended_with_its_run(context.instance, context.run):
            yield self

    def open(self) -> Project:
        """The project of these settings. Raises ConfigurationError."""
        return Project(self.loaded())

    @contextmanager
    def opened(self) -> Iterator[Project]:
        """The project for one block, e.g. a tick of a sensor, whose process lives on. Raises ConfigurationError."""
        project = self.open()
        try:
            yield project
        finally:
            project.close()

    @contextmanager
    def dagster_errors(self) -> Iterator[None]:
        """The one place where the project's errors become Dagster's.

        A broken service makes Dagster retry the step; an error that an operator must fix fails it at once.
        """
        try:
            yield
        except AegisError as error:
            if error.retryable:
                raise dg.RetryRequested(max_retries=_MAX_RETRIES, seconds_to_wait=self.seconds_before_retry) from error
            raise dg.Failure(description=str(error), allow_retries=False) from error

    def progress(self, log: Callable[[str], None]) -> Progress:
        """Where the stages report their progress."""
        observer = _observer.get()
        return observer.progress() if observer else LoggedProgress(lambda line: log(unlinked(line)))

    def stage_finished(self, report: StageReport) -> None:
        """Tell the observer, if there is one."""
        observer = _observer.get()
        if observer:
            observer.stage_finished(report)


class LlmResource(_HomeResource):
    """Builds the gateway, the only way to a model: routed, reserved, paid once and accounted to the run."""

    tiers: list[str] | None = Field(
        default=None,
        description="Providers in the order in which they are tried, e.g. ['local']; default: `llm.tiers`.",
    )
    per_run_usd: float | None = Field(
        default=None, ge=0, description="Limit of one run in USD; default: `llm.budgets.per_run`."
    )

    @asynccontextmanager
    async def gateway(self, run_id: str) -> AsyncIterator[Gateway]:
        """The gateway of one run; its connections end with the block. run_id: `context.run.run_id`.

        `async with llm.gateway(context.run.run_id) as gateway: answer = await gateway.ask(LLMTask(...))`
        Raises ConfigurationError; `ask` raises what `Gateway.ask` does.
        """
        models = Project(self.settings()).models(run_id)
        try:
            yield models.gateway
        finally:
            await models.aclose()

    def settings(self) -> Settings:
        """The settings, narrowed by the fields of this resource. Raises ConfigurationError."""
        settings = self.loaded()
        llm = settings.llm
        if self.tiers is not None:
            unknown = [name for name in self.tiers if name not in llm.providers]
            if unknown:
                raise ConfigurationError(
                    f"The resource `llm` names tier {unknown[0]!r}, which is no provider.",
                    remedy=f"use some of {', '.join(llm.providers)}, or add it to llm.providers in aegis.yaml.",
                )
            llm = llm.model_copy(update={"tiers": tuple(self.tiers)})
        if self.per_run_usd is not None:
            budgets = llm.budgets.model_copy(update={"per_run": Decimal(str(self.per_run_usd))})
            llm = llm.model_copy(update={"budgets": budgets})
        return settings.model_copy(update={"llm": llm})


class LedgerResource(_HomeResource):
    """Opens what the ledger says: what was used and what it cost."""

    def open(self) -> LedgerReports:
        """The reports over this home's ledger. Raises ConfigurationError."""
        return Project(self.loaded()).ledger_reports
