"""One write transaction of the ledger: many operations, decided in Python, written back together.

Every transaction locks in the same order: reserved calls, accounts, roll-ups, each sorted. So transactions queue
and cannot deadlock.
"""

import logging
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from aegis_dagster.domain.accounts import AccountKey, AccountLimits, BudgetRefusal, Reservation, Settlement
from aegis_dagster.domain.money import NanoUsd, month_of
from aegis_dagster.stores.ledger.accounts import AccountBook, charged
from aegis_dagster.stores.ledger.rollups import EndedCall, RollUps
from aegis_dagster.stores.ledger.schema import IS_RESERVED, LOST, CallStatus, llm_calls

log = logging.getLogger(__name__)

EXPIRED_AT_ONCE = 500  # most reservations that one transaction expires

_C = llm_calls.c
_LOCK_RESERVED = (
    sa.select(llm_calls)
    .where(_C.call_id.in_(sa.bindparam("ids", expanding=True)), IS_RESERVED)
    .order_by(_C.call_id)
    .with_for_update()
)
# Rows that another transaction has locked are being settled there, so they are skipped.
_LOCK_EXPIRED = (
    sa.select(llm_calls)
    .where(IS_RESERVED, _C.expires_ms <= sa.bindparam("now_ms"))
    .order_by(_C.expires_ms, _C.call_id)
    .limit(EXPIRED_AT_ONCE)
    .with_for_update(skip_locked=True)
)
_EXPIRED_ALREADY = sa.select(_C.call_id, _C.provider).where(
    _C.call_id.in_(sa.bindparam("ids", expanding=True)), _C.status == CallStatus.EXPIRED.value
)
_INSERT = sa.insert(llm_calls)
_ENDED_COLUMNS = (
    *("status", "outcome", "settled_ms", "cost_nanousd", "latency_ms", "estimated"),
    *("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cache_write_tokens", "reason"),
)
_END = (
    sa.update(llm_calls)
    .where(_C.call_id == sa.bindparam("of_call"))
    .values({name: sa.bindparam(f"new_{name}") for name in _ENDED_COLUMNS})
)


class Batch:
    """The operations of one write transaction. Created inside it and used once."""

    def __init__(self, connection: Connection, limits: AccountLimits, now: datetime) -> None:
        self._connection = connection
        self._limits = limits
        self._month = month_of(now)
        self._now_ms = int(now.timestamp() * 1000)
        self._book = AccountBook(connection, limits)
        self._ended: list[EndedCall] = []
        self._reserved: list[dict[str, Any]] = []

    def run(
        self, reservations: Sequence[Reservation], settlements: Collection[Settlement], *, expire: bool
    ) -> list[BudgetRefusal | None]:
        """Settle, expire if asked, then reserve in the given order. Returns one answer per reservation."""
        self._find_ended(settlements)
        if expire:
            self._find_expired()
        self._book.lock(
            {key for call in self._ended for key in _charged_before(call.row)},
            opening=[key for reservation in reservations for key in self._charged_now(reservation)],
        )
        rollups = RollUps()
        for call in self._ended:
            for key in _charged_before(call.row):
                self._book.spend(key, reserved=call.row.reserved_nanousd, cost=call.cost)
            rollups.add(call)
        refusals = [self._reserve(reservation) for reservation in reservations]
        self._book.write_back()
        if self._reserved:
            self._connection.execute(_INSERT, self._reserved)
        if self._ended:
            self._connection.execute(_END, [self._ended_values(call) for call in self._ended])
        rollups.write(self._connection)
        return refusals

    def expire(self) -> int:
        """Expire reservations that are due, at most EXPIRED_AT_ONCE. Returns how many."""
        self.run([], [], expire=True)
        return len(self._ended)

    def _find_ended(self, settlements: Collection[Settlement]) -> None:
        first: dict[str, Settlement] = {}
        for settlement in settlements:
            first.setdefault(settlement.call_id, settlement)
        if not first:
            return
        for row in self._connection.execute(_LOCK_RESERVED, {"ids": list(first)}).all():
            settlement = first.pop(row.call_id)
            known = settlement.cost is not None
            self._ended.append(
                EndedCall(
                    row=row,
                    status=CallStatus.SETTLED if known else CallStatus.UNKNOWN,
                    outcome=settlement.outcome,
                    usage=settlement.usage,
                    cost=settlement.cost if settlement.cost is not None else NanoUsd(row.reserved_nanousd),
                    latency_ms=round(settlement.latency_seconds * 1000),
                    reason=settlement.reason,
                )
            )
        if first:
            for late in self._connection.execute(_EXPIRED_ALREADY, {"ids": list(first)}):
                log.warning(
                    "Call %s to %s was settled after its reservation had expired; it costs its reservation.",
                    *(late.call_id, late.provider),
                )

    def _find_expired(self) -> None:
        settled = {call.row.call_id for call in self._ended}
        for row in self._connection.execute(_LOCK_EXPIRED, {"now_ms": self._now_ms}).all():
            if row.call_id not in settled:
                cost = NanoUsd(row.reserved_nanousd)
                self._ended.append(EndedCall(row, CallStatus.EXPIRED, LOST, usage=None, cost=cost, latency_ms=None))

    def _charged_now(self, reservation: Reservation) -> list[AccountKey]:
        return charged(
            provider=reservation.provider,
            collection=reservation.asked_for.collection,
            run_id=reservation.run_id if self._limits.per_run is not None else "",
            month=self._month,
        )

    def _reserve(self, reservation: Reservation) -> BudgetRefusal | None:
        keys = self._charged_now(reservation)
        for key in keys:
            if not self._book[key].fits(reservation.amount):
                return BudgetRefusal(self._book[key], reservation.amount)
        for key in keys:
            self._book.reserve(key, reservation.amount)
        self._reserved.append(self._reserved_values(reservation))
        return None

    def _reserved_values(self, reservation: Reservation) -> dict[str, Any]:
        asked_for = reservation.asked_for
        return {
            "call_id": reservation.call_id,
            "month": self._month,
            "reserved_ms": self._now_ms,
            "expires_ms": self._now_ms + round(reservation.seconds_to_live * 1000),
            "settled_ms": None,
            "status": CallStatus.RESERVED.value,
            "outcome": "",
            "provider": reservation.provider,
            "model": reservation.model,
            "task_type": reservation.task_type.value,
            "stage": asked_for.stage.value if asked_for.stage else "",
            "collection": asked_for.collection,
            "document_id": asked_for.document_id,
            "run_id": reservation.run_id,
            "attempt": reservation.attempt,
            "input_tokens": 0,
            "cached_tokens": 0,
            "output_tokens": 0,
            "reasoning_tokens": 0,
            "cache_write_tokens": 0,
            "estimated": False,
            "reserved_nanousd": reservation.amount,
            "cost_nanousd": None,
            "price_version": reservation.price_version,
            "latency_ms": None,
            "reason": "",
            "charged_run": bool(reservation.run_id) and self._limits.per_run is not None,
        }

    def _ended_values(self, call: EndedCall) -> dict[str, Any]:
        usage = call.usage
        return {
            "of_call": call.row.call_id,
            "new_status": call.status.value,
            "new_outcome": call.outcome,
            "new_settled_ms": self._now_ms,
            "new_cost_nanousd": call.cost,
            "new_latency_ms": call.latency_ms,
            "new_estimated": usage.estimated if usage else False,
            "new_input_tokens": usage.input_tokens if usage else 0,
            "new_cached_tokens": usage.cached_tokens if usage else 0,
            "new_output_tokens": usage.output_tokens if usage else 0,
            "new_reasoning_tokens": usage.reasoning_tokens if usage else 0,
            "new_cache_write_tokens": usage.cache_write_tokens if usage else 0,
            "new_reason": call.reason,
        }


def _charged_before(row: Row[Any]) -> list[AccountKey]:
    """The accounts that were charged when the call was reserved."""
    return charged(
        provider=row.provider,
        collection=row.collection,
        run_id=row.run_id if row.charged_run else "",
        month=row.month,
    )
