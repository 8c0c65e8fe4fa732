"""Accounts: spending limits and what was spent. The value types of the ledger.

A call is reserved at its highest possible cost, made, and settled at its actual cost, in the month in which
it was reserved. A call without an answer that may have been billed is charged with its reservation.
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
    """What a spending limit applies to."""

    PROVIDER = "provider"  # one per month, always present
    COLLECTION = "collection"  # one per month, refuses only if a limit is set
    RUN = "run"  # one per run, only while runs have a limit


@dataclass(frozen=True, slots=True, order=True)
class AccountKey:
    """Identifies an account. `period` is a month, or "" for a run."""

    kind: AccountKind
    name: str
    period: str


@dataclass(frozen=True, slots=True)
class Account:
    """The state of an account, in nano-USD."""

    key: AccountKey
    limit: NanoUsd | None  # None: unlimited
    reserved: NanoUsd
    spent: NanoUsd
    set_by_operator: bool = False  # `aegis budget`; otherwise the limit follows the settings

    @property
    def remaining(self) -> int | None:
        """The amount that can still be reserved; below 0 after a limit was lowered. None: unlimited."""
        return None if self.limit is None else self.limit - self.reserved - self.spent

    def fits(self, amount: int) -> bool:
        """Whether an amount can be reserved. An amount of 0 always can."""
        return amount == 0 or self.limit is None or self.reserved + self.spent + amount <= self.limit


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """The limits in the settings, in nano-USD. A provider that is not named is free and unlimited."""

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
    seconds_to_live: float  # after that the call counts as lost, at the cost of its reservation


@dataclass(frozen=True, slots=True)
class BudgetRefusal:
    """The first account that a reservation does not fit in."""

    account: Account
    wanted: NanoUsd


@dataclass(frozen=True, slots=True)
class PutOff:
    """Why a document waits."""

    reason: str  # of the `Deferred`
    why: str  # in words
    refused_by: tuple[str, Month] | None = None  # the provider whose budget for that month is too small

    @staticmethod
    def of(facts: Mapping[str, Any]) -> "PutOff":
        """Reads the facts that a stage recorded for a deferred document (`domain.stages.put_off`).

        They name the first account that refused; older records have no field for the account.
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
    usage: Usage | None  # None: the provider reported none, and it is unknown
    cost: NanoUsd | None  # None: may have been billed, charged with its reservation (status "unknown")
    latency_seconds: float
    reason: str = ""  # why it failed, in words, without content and keys


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Usage summed over the calls of one group. A key that is not grouped by is ""."""

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
    cache_write_tokens: int
    estimated_calls: int
    unknown_calls: int  # lost or perhaps billed: charged with their reservation
    over_reservation_calls: int  # cost more than was reserved
    cost: NanoUsd


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """The cost of one month in the ledger, counted in three ways that must agree."""

    month: Month
    rows: NanoUsd  # sum over calls
    accounts: NanoUsd  # sum of spent over provider accounts
    rollups: NanoUsd  # sum over roll-ups
