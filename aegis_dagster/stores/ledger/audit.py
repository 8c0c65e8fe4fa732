"""Checks of the ledger that read single calls instead of its sums."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from aegis_dagster.domain.money import Month, month_of
from aegis_dagster.stores.database import read
from aegis_dagster.stores.ledger.schema import IS_RESERVED, llm_calls

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Calls of one model that used tokens but cost nothing."""

    provider: str
    model: str
    calls: int


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

    def asked_since(self, time: datetime) -> bool:
        """Whether any model was called at or after a time."""
        time_ms = (time - _EPOCH) // timedelta(milliseconds=1)
        query = sa.select(llm_calls.c.call_id).where(
            llm_calls.c.month >= month_of(time), llm_calls.c.reserved_ms >= time_ms
        )
        with read(self._engine) as connection:
            return connection.execute(query.limit(1)).first() is not None
