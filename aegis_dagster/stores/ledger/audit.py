"""Checks of the ledger that read single calls instead of its sums."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from aegis_dagster.domain.money import Month, NanoUsd, month_of
from aegis_dagster.stores.database import read
from aegis_dagster.stores.ledger.rollups import OK
from aegis_dagster.stores.ledger.schema import IS_RESERVED, llm_calls

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Calls of one model that used tokens but cost nothing."""

    provider: str
    model: str
    calls: int


@dataclass(frozen=True, slots=True)
class FailedCalls:
    """Calls that ended without an answer, for one reason."""

    provider: str
    model: str
    task_type: str
    outcome: str
    reason: str  # in words, of the last one; "" if unknown
    calls: int
    cost: NanoUsd
    last: datetime
    document_id: str  # of the last one


_NUMBERS = re.compile(r"\d+(?:[.,:]\d+)*")


class LedgerAudit:
    """Reads single calls."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def unpriced(self, month: Month, free: Collection[str]) -> list[Unpriced]:
        """Ended calls that used tokens but have no cost or no price, by model. Calls to free providers are excluded."""
        calls = llm_calls.c
        query = (
            sa.select(calls.provider, calls.model, sa.func.count().label("calls"))
            .where(calls.month == month, ~IS_RESERVED, calls.provider.not_in(sorted(free)))
            .where(calls.input_tokens + calls.output_tokens > 0)
            .where(sa.or_(calls.cost_nanousd == 0, calls.price_version == ""))
            .group_by(calls.provider, calls.model)
            .order_by(calls.provider, calls.model)
        )
        with read(self._engine) as connection:
            return [Unpriced(row.provider, row.model, int(row.calls)) for row in connection.execute(query)]

    def failed(self, month: Month | None) -> list[FailedCalls]:
        """Calls without an answer, the latest first. Reasons that differ only in numbers are one. month: None: all."""
        calls = llm_calls.c
        names = (calls.provider, calls.model, calls.task_type, calls.outcome)
        query = sa.select(*names, calls.reason, calls.cost_nanousd, calls.reserved_ms, calls.document_id)
        query = query.where(~IS_RESERVED, calls.outcome != OK).order_by(calls.reserved_ms, calls.call_id)
        query = query.where(calls.month == month) if month else query
        found: dict[tuple[str, ...], FailedCalls] = {}
        with read(self._engine) as connection:
            for row in connection.execute(query):
                key = (row.provider, row.model, row.task_type, row.outcome)
                alike = (*key, _NUMBERS.sub("#", row.reason))
                before = found.pop(alike, None)
                found[alike] = FailedCalls(
                    *key,
                    reason=row.reason,
                    calls=1 + (before.calls if before else 0),
                    cost=NanoUsd(int(row.cost_nanousd or 0) + (before.cost if before else 0)),
                    last=_EPOCH + timedelta(milliseconds=row.reserved_ms),
                    document_id=row.document_id,
                )
        return list(reversed(found.values()))

    def asked_since(self, time: datetime) -> bool:
        """Whether any model was called at or after a time."""
        time_ms = (time - _EPOCH) // timedelta(milliseconds=1)
        query = sa.select(llm_calls.c.call_id).where(
            llm_calls.c.month >= month_of(time), llm_calls.c.reserved_ms >= time_ms
        )
        with read(self._engine) as connection:
            return connection.execute(query.limit(1)).first() is not None
