"""Accounts: who may spend how much, and what was spent. The words of the ledger.

A call is reserved with the most it can cost, made, and settled with what it did cost, in the month in which
it was reserved. What may have been billed without an answer costs its reservation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aegis_dagster.domain.llm import AskedFor, TaskType
from aegis_dagster.domain.money import Month, NanoUsd
from aegis_dagster.domain.prices import Usage
from aegis_dagster.errors import Shortage


class AccountKind(StrEnum):
    """Whose money is limited."""

    PROVIDER = "provider"  # always there, one a month
    COLLECTION = "collection"  # only where a limit is set, one a month
    RUN = "run"  # only where a limit is set, one a run


@dataclass(frozen=True, slots=True, order=True)
class AccountKey:
    """Names an account. `period` is a month, for a run ""."""

    kind: AccountKind
    name: str
    period: str


@dataclass(frozen=True, slots=True)
class Account:
    """What an account holds, in nano-USD."""

    key: AccountKey
    limit: NanoUsd | None  # None: unlimited
    reserved: NanoUsd
    spent: NanoUsd
    set_by_operator: bool = False  # `aegis budget`; otherwise the limit follows the settings

    @property
    def remaining(self) -> int | None:
        """What can still be reserved; below 0 after a limit was lowered. None: unlimited."""
        return None if self.limit is None else self.limit - self.reserved - self.spent

    def fits(self, amount: int) -> bool:
        """Whether an amount can be reserved. What costs nothing always can."""
        return amount == 0 or self.limit is None or self.reserved + self.spent + amount <= self.limit


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """The limits of the settings, in nano-USD. A provider that is not named is free and unlimited."""

    providers: dict[str, NanoUsd | None] = field(default_factory=dict)
    collections: dict[str, NanoUsd] = field(default_factory=dict)
    per_run: NanoUsd | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """A call that is about to be made: one attempt, one ledger row."""

    call_id: str  # unique
    provider: str
    model: str
    task_type: TaskType
    asked_for: AskedFor
    run_id: str
    attempt: int  # 1-based, over all tiers of a task
    amount: NanoUsd  # the most it can cost
    price_version: str
    seconds_to_live: float  # after it the call counts as lost, and costs its reservation


@dataclass(frozen=True, slots=True)
class BudgetRefusal:
    """The first account in which a reservation does not fit."""

    account: Account
    wanted: NanoUsd


@dataclass(frozen=True, slots=True)
class PutOff:
    """Why a document waits."""

    reason: str  # of the `Deferred`
    why: str  # in words
    refused_by: tuple[str, Month] | None = None  # the provider whose budget of that month does not suffice

    @staticmethod
    def of(facts: Mapping[str, Any]) -> "PutOff":
        """What a stage recorded of a document that it put off (`domain.stages.put_off`).

        A document names the first account that refused it; one recorded before accounts were fields names none.
        """
        refused = Shortage(**facts["budget"]) if "budget" in facts else None
        of_provider = refused is not None and refused.kind == AccountKind.PROVIDER
        by = (refused.account, Month(refused.month)) if refused and of_provider else None
        return PutOff(facts.get("reason", ""), facts.get("why", ""), by)


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a reserved call ended."""

    call_id: str
    outcome: str  # "ok" or an error type (`llm/retry_policy.py`)
    usage: Usage | None  # None: the provider said nothing and nothing can be told
    cost: NanoUsd | None  # None: may have been billed, so it costs its reservation (status "unknown")
    latency_seconds: float


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What was used, summed over the calls of one group. A key that was not grouped by is ""."""

    month: str
    day: str  # "2026-11-24", UTC
    provider: str
    model: str
    task_type: str
    stage: str
    collection: str
    document_id: str
    calls: int
    failed_calls: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    estimated_calls: int
    unknown_calls: int  # lost or perhaps billed: they cost their reservation
    over_reservation_calls: int  # cost more than was reserved
    cost: NanoUsd


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """Everything in the ledger of one month, counted three ways that must be equal."""

    month: Month
    rows: NanoUsd  # sum over calls
    accounts: NanoUsd  # sum of spent over provider accounts
    rollups: NanoUsd  # sum over roll-ups
