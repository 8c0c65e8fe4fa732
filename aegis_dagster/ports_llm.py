"""The ports of model calls: the gateway that answers tasks, and the ledger that pays for them.

Belongs here: the Protocols that keep describers, extractors and embedders apart from `llm/`, and `llm/` apart
from the SQL tables.
Does not belong here: any implementation.
"""

from typing import Protocol

from aegis_dagster.domain.accounts import BudgetRefusal, Reservation, Settlement
from aegis_dagster.domain.llm import LLMResponse, LLMTask
from aegis_dagster.domain.routing import Candidate


class ModelGateway(Protocol):
    """The only way to a model; see `llm.gateway.Gateway`."""

    def candidates(self, task: LLMTask) -> list[Candidate]:
        """The models that may answer, best first, whatever their budgets and health are now. Costs nothing."""
        ...

    async def ask(self, task: LLMTask) -> LLMResponse:
        """The answer of the best model that can give it now; for an embedding, one vector a text.

        Raises Deferred (no money, or no provider answers: nobody's fault, comes again), DocumentError
        (CONTENT_REFUSED, CONTEXT_TOO_LONG, BAD_ANSWER: every model that may answer turned this content down),
        ConfigurationError (no tier may answer it, or a paid model without a price).
        """
        ...


class Ledger(Protocol):
    """Reserve before a call, settle after it; see `stores.ledger.Ledger`."""

    async def reserve(self, reservation: Reservation) -> BudgetRefusal | None:
        """Take the amount from every account it concerns, all or nothing. None: reserved. Raises ServiceError."""
        ...

    async def settle(self, settlement: Settlement) -> None:
        """Replace a reservation by what the call did cost. A second time it changes nothing. Raises ServiceError."""
        ...
