"""The resources for assets and ops of your own: a gateway that answers tasks and accounts for them, and the ledger.

Belongs here: ConfigurableResources that build plain objects from the settings, and what an operator may narrow in
the launchpad.
Does not belong here: the project's own stages, which get their gateway from the workbench (`resources.py`); calls.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import dagster as dg
from pydantic import Field

from aegis_dagster.composition import Project
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.llm.gateway import Gateway
from aegis_dagster.settings import Settings, load_settings
from aegis_dagster.stores.ledger_reports import LedgerReports


class LlmResource(dg.ConfigurableResource[None]):
    """Builds the gateway, the only way to a model: routed, reserved, paid once and accounted to the run."""

    home: str | None = Field(default=None, description="The project's home; default: AEGIS_HOME.")
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
        """The settings with what is narrowed here. Raises ConfigurationError."""
        settings = load_settings(Path(self.home) if self.home else None)
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


class LedgerResource(dg.ConfigurableResource[None]):
    """Opens what the ledger says: what was used and what it cost."""

    home: str | None = Field(default=None, description="The project's home; default: AEGIS_HOME.")

    def open(self) -> LedgerReports:
        """The reports over this home's ledger. Raises ConfigurationError."""
        return Project(load_settings(Path(self.home) if self.home else None)).ledger_reports
