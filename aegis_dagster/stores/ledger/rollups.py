"""The roll-ups of the ledger: usage, latency and errors of ended calls, merged and written once per batch."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from aegis_dagster.domain.money import NanoUsd
from aegis_dagster.domain.prices import Usage
from aegis_dagster.stores.ledger.schema import (
    BEYOND,
    LATENCY_BOUNDS_MS,
    CallStatus,
    llm_errors,
    llm_latency,
    llm_reported_usage,
    llm_usage,
)

OK = "ok"  # outcome of a call that brought an answer

# Every transaction writes in this order, each table sorted, so that two of them cannot deadlock.
_TABLES = (llm_usage, llm_latency, llm_errors, llm_reported_usage)


def _addition(table: sa.Table) -> sa.TextClause:
    """An INSERT that adds to an existing row, valid on both databases. It is text, because SQLAlchemy compiles
    `on_conflict_do_update` at every execution, which takes longer than running it."""
    names = [column.name for column in table.columns]
    keys = ", ".join(column.name for column in table.primary_key.columns)
    sums = (column.name for column in table.columns if not column.primary_key)
    return sa.text(
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)}) "
        f"ON CONFLICT ({keys}) DO UPDATE SET {', '.join(f'{n} = {table.name}.{n} + excluded.{n}' for n in sums)}"
    )


_ADD = {table: _addition(table) for table in _TABLES}


@dataclass(frozen=True, slots=True)
class EndedCall:
    """A reserved row of `llm_calls`, and how the call ended."""

    row: Row[Any]
    status: CallStatus
    outcome: str
    usage: Usage | None
    cost: NanoUsd
    latency_ms: int | None  # None: unknown
    reason: str = ""  # why it failed, in words

    @property
    def failed(self) -> bool:
        """Whether the call brought no answer."""
        return self.outcome != OK


class RollUps:
    """Sums of the calls that one transaction ends."""

    def __init__(self) -> None:
        self._sums: dict[sa.Table, dict[tuple[str, ...], list[int]]] = {table: {} for table in _TABLES}

    def add(self, call: EndedCall) -> None:
        """Count a call, on the day on which it was reserved."""
        row, usage = call.row, call.usage or Usage()
        known = call.status is CallStatus.SETTLED
        self._increase(
            llm_usage,
            (day_of(row.reserved_ms), row.provider, row.model, row.task_type, row.stage, row.collection),
            [
                1,
                int(call.failed),
                usage.input_tokens,
                usage.cached_tokens,
                usage.output_tokens,
                usage.reasoning_tokens,
                usage.cache_write_tokens,
                int(usage.estimated),
                int(not known),
                int(call.cost > row.reserved_nanousd),
                call.cost,
            ],
        )
        if call.latency_ms is not None:
            key = (row.provider, row.model, _bucket(call.latency_ms))
            self._increase(llm_latency, key, [1, call.latency_ms])
        if call.failed:
            self._increase(llm_errors, (row.provider, call.outcome), [1])
        elif known and call.usage is not None and not usage.estimated:
            key = (row.task_type, row.provider, row.model)
            self._increase(llm_reported_usage, key, [1, usage.input_tokens, usage.output_tokens, call.cost])

    def write(self, connection: Connection) -> None:
        """Add the sums to the database."""
        for table in _TABLES:
            sums = self._sums[table]
            if sums:
                names = [column.name for column in table.columns]
                rows = [dict(zip(names, (*key, *sums[key]), strict=True)) for key in sorted(sums)]
                connection.execute(_ADD[table], rows)

    def _increase(self, table: sa.Table, key: tuple[str, ...], by: list[int]) -> None:
        sums = self._sums[table]
        before = sums.get(key)
        sums[key] = by if before is None else [old + new for old, new in zip(before, by, strict=True)]


def day_of(time_ms: int) -> str:
    """The UTC day of a time: "2026-11-24"."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%d")


def _bucket(latency_ms: int) -> str:
    return next((name for name, bound in LATENCY_BOUNDS_MS.items() if latency_ms <= bound), BEYOND)
