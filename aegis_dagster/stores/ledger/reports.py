"""The ledger's reports: usage by any grouping, sums that must agree, latency and errors for metrics.

A call counts once it is settled or has expired, on the day on which it was reserved. Sums are Python integers,
whatever type the database returns.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from aegis_dagster.domain.accounts import AccountKind, LedgerTotals, UsageRow
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.limits import Spent
from aegis_dagster.domain.llm import TaskType
from aegis_dagster.domain.money import Month, NanoUsd
from aegis_dagster.stores.catalog.claims import slices
from aegis_dagster.stores.catalog.schema import documents as catalog_documents
from aegis_dagster.stores.database import read
from aegis_dagster.stores.ledger.rollups import OK, day_of
from aegis_dagster.stores.ledger.schema import (
    BEYOND,
    LATENCY_BOUNDS_MS,
    CallStatus,
    llm_accounts,
    llm_calls,
    llm_errors,
    llm_latency,
    llm_reported_usage,
    llm_usage,
)

GROUPS = ("month", "day", "provider", "model", "task_type", "stage", "collection", "document_id")
DAY_MS = 86_400_000

_C, _U = llm_calls.c, llm_usage.c


@dataclass(frozen=True, slots=True)
class MeanUsage:
    """Mean usage of a model's calls for one task: successful calls whose usage the provider reported."""

    calls: int
    input_tokens: float
    output_tokens: float
    cost: float  # nano-USD


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """How many calls to a provider ended with an error."""

    provider: str
    error_type: str  # `llm/retry_policy.py`, or "lost"
    calls: int


@dataclass(frozen=True, slots=True)
class Latency:
    """How long calls to a model took, successful or not; lost calls are excluded."""

    provider: str
    model: str
    buckets: tuple[tuple[str, int], ...]  # upper bound in seconds ("0.1" to "+Inf") and calls up to it, cumulative
    sum_ms: int

    @property
    def calls(self) -> int:
        """The number of all calls."""
        return self.buckets[-1][1]


@dataclass(frozen=True, slots=True)
class OpenReservations:
    """Reserved calls that have not ended: in progress, or of a process that is gone."""

    calls: int
    reserved: NanoUsd


class LedgerReports:
    """Read-only views of the ledger. Every method raises ServiceError when the database does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def usage(
        self,
        by: Collection[str] = ("provider", "model", "task_type", "stage", "collection"),
        *,
        month: Month | None = None,
        run_id: str | None = None,
    ) -> list[UsageRow]:
        """Usage summed and sorted by any of GROUPS; without groups, one row of all usage, or none.

        Usage by document or of one run is read from calls, otherwise from roll-ups; the sums are the same.
        Raises ValueError for an unknown group.
        """
        unknown = set(by) - set(GROUPS)
        if unknown:
            raise ValueError(f"usage is not grouped by {sorted(unknown)}")
        groups = [name for name in GROUPS if name in by]
        from_calls = "document_id" in groups or run_id is not None
        query = _from_calls(groups, month, run_id) if from_calls else _from_rollups(groups, month)
        with read(self._engine) as connection:
            rows = [_usage_row(dict(row._mapping)) for row in connection.execute(query) if row.calls]
        return sorted(rows, key=lambda row: tuple(getattr(row, name) for name in GROUPS))

    def totals(self, month: Month) -> LedgerTotals:
        """The cost of a month, counted in three ways from one snapshot."""
        with read(self._engine) as connection:
            return LedgerTotals(
                month,
                rows=_sum(connection, sa.select(sa.func.sum(_C.cost_nanousd)).where(_C.month == month)),
                accounts=_sum(
                    connection,
                    sa.select(sa.func.sum(llm_accounts.c.spent_nanousd)).where(
                        llm_accounts.c.kind == AccountKind.PROVIDER.value, llm_accounts.c.period == month
                    ),
                ),
                rollups=_sum(connection, sa.select(sa.func.sum(_U.cost_nanousd)).where(*_days_of(month))),
            )

    def spent_on_documents(self, documents: Collection[DocumentId], *, since_ms: int) -> dict[DocumentId, Spent]:
        """Calls for each document since its bytes last changed, and not before `since_ms`.

        A call that has not ended counts with its reservation; one that failed and cost nothing does not count.
        """
        refused = sa.and_(_C.cost_nanousd == 0, _C.outcome != OK)
        query = (
            sa.select(
                _C.document_id,
                sa.func.count().label("calls"),
                sa.func.sum(sa.func.coalesce(_C.cost_nanousd, _C.reserved_nanousd)).label("cost"),
            )
            .join(catalog_documents, catalog_documents.c.id == _C.document_id)
            .where(_C.reserved_ms >= since_ms, _C.reserved_ms >= catalog_documents.c.changed_ms)
            .where(sa.or_(_C.cost_nanousd.is_(None), ~refused))
            .group_by(_C.document_id)
        )
        found: dict[DocumentId, Spent] = {}
        with read(self._engine) as connection:
            for part in slices(sorted(documents)):
                for row in connection.execute(query.where(_C.document_id.in_(part))):
                    found[DocumentId(row.document_id)] = Spent(row.calls, NanoUsd(int(row.cost)))
        return found

    def open_reservations(self, month: Month) -> OpenReservations:
        """The calls of a month that have not ended yet."""
        # Only open calls have no cost, so the index by month and cost finds them.
        query = sa.select(sa.func.count(), sa.func.sum(_C.reserved_nanousd))
        query = query.where(_C.month == month, _C.cost_nanousd.is_(None))
        with read(self._engine) as connection:
            calls, reserved = connection.execute(query).one()
        return OpenReservations(int(calls), NanoUsd(int(reserved or 0)))

    def mean_usage(self, task_type: TaskType, provider: str, model: str) -> MeanUsage | None:
        """The mean usage of a model for a task so far; None: there was no such call with reported usage."""
        table = llm_reported_usage
        query = sa.select(table).where(
            table.c.task_type == task_type.value, table.c.provider == provider, table.c.model == model
        )
        with read(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        calls = row.calls
        return MeanUsage(calls, row.input_tokens / calls, row.output_tokens / calls, row.cost_nanousd / calls)

    def errors(self) -> list[ErrorCount]:
        """Failed calls since the ledger began, by provider and error type, sorted."""
        with read(self._engine) as connection:
            rows = connection.execute(sa.select(llm_errors)).all()
        found = [ErrorCount(row.provider, row.error_type, row.calls) for row in rows]
        return sorted(found, key=lambda count: (count.provider, count.error_type))

    def latency(self) -> list[Latency]:
        """Latency since the ledger began, by provider and model, sorted."""
        with read(self._engine) as connection:
            rows = connection.execute(sa.select(llm_latency)).all()
        found: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}
        for row in rows:
            found.setdefault((row.provider, row.model), {})[row.bucket] = (row.calls, row.sum_ms)
        return [
            _latency(provider, model, buckets)
            for (provider, model), buckets in sorted(found.items(), key=lambda item: item[0])
        ]


def _latency(provider: str, model: str, buckets: dict[str, tuple[int, int]]) -> Latency:
    names = (*LATENCY_BOUNDS_MS, BEYOND)
    counts = accumulate(buckets.get(name, (0, 0))[0] for name in names)
    sum_ms = sum(total for _, total in buckets.values())
    return Latency(provider, model, tuple(zip(names, counts, strict=True)), sum_ms)


_SUMS = tuple(field.name for field in fields(UsageRow) if field.name not in (*GROUPS, "cost"))


def _from_rollups(groups: list[str], month: Month | None) -> sa.Select[Any]:
    chosen = [(_month_of_day() if name == "month" else _U[name]).label(name) for name in groups]
    query = sa.select(
        *chosen, *(sa.func.sum(_U[name]).label(name) for name in _SUMS), sa.func.sum(_U.cost_nanousd).label("cost")
    )
    query = query.where(*_days_of(month)) if month else query
    return query.group_by(*chosen)


def _from_calls(groups: list[str], month: Month | None, run_id: str | None) -> sa.Select[Any]:
    """The same columns as from roll-ups, except that the day is a number."""
    day = _C.reserved_ms // DAY_MS
    chosen = [(day if name == "day" else _C[name]).label(name) for name in groups]
    unknown = _C.status.in_([CallStatus.UNKNOWN.value, CallStatus.EXPIRED.value])
    query = sa.select(
        *chosen,
        sa.func.count().label("calls"),
        _number_of(_C.outcome != OK).label("failed_calls"),
        *(sa.func.sum(_C[name]).label(name) for name in _SUMS if name.endswith("_tokens")),
        _number_of(_C.estimated).label("estimated_calls"),
        _number_of(unknown).label("unknown_calls"),
        _number_of(_C.cost_nanousd > _C.reserved_nanousd).label("over_reservation_calls"),
        sa.func.sum(_C.cost_nanousd).label("cost"),
    ).where(_C.cost_nanousd.is_not(None))  # ended
    query = query.where(_C.month == month) if month else query
    query = query.where(_C.run_id == run_id) if run_id is not None else query
    return query.group_by(*chosen)


def _number_of(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((condition, 1), else_=0))


def _usage_row(row: Mapping[str, Any]) -> UsageRow:
    values: dict[str, Any] = {name: row.get(name, "") for name in GROUPS}
    if isinstance(values["day"], int):
        values["day"] = day_of(values["day"] * DAY_MS)
    values.update({name: int(row[name]) for name in _SUMS})
    return UsageRow(**values, cost=NanoUsd(int(row["cost"])))


def _month_of_day() -> sa.ColumnElement[str]:
    return sa.func.substr(_U.day, 1, 7)


def _days_of(month: Month) -> tuple[sa.ColumnElement[bool], ...]:
    return (_U.day >= f"{month}-01", _U.day <= f"{month}-31")


def _sum(connection: Connection, query: sa.Select[Any]) -> NanoUsd:
    return NanoUsd(int(connection.execute(query).scalar() or 0))
