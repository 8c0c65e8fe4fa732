"""Reservations and settlements for tests, and the invariants of the ledger."""

import uuid
from dataclasses import replace

import sqlalchemy as sa

from aegis_dagster.domain.accounts import AccountKey, AccountKind, AccountLimits, Reservation, Settlement
from aegis_dagster.domain.llm import AskedFor, TaskType
from aegis_dagster.domain.money import Month, NanoUsd
from aegis_dagster.domain.prices import Usage
from aegis_dagster.domain.stages import Stage
from aegis_dagster.stores.database import read
from aegis_dagster.stores.ledger.reports import LedgerReports
from aegis_dagster.stores.ledger.schema import IS_RESERVED, llm_accounts, llm_calls

JANUARY, FEBRUARY = Month("2026-01"), Month("2026-02")  # SetClock begins at noon of January 31
OPENAI = AccountKey(AccountKind.PROVIDER, "openai", JANUARY)
LIMITS = AccountLimits(providers={"openai": NanoUsd(1000), "local": None})
USAGE = Usage(input_tokens=100, cached_tokens=40, output_tokens=20, reasoning_tokens=5, cache_write_tokens=7)


def reservation(
    amount: int,
    call_id: str = "",
    *,
    provider: str = "openai",
    collection: str = "reports",
    document_id: str = "reports/a.pdf",
    run_id: str = "run-1",
    seconds_to_live: float = 600,
) -> Reservation:
    """One call of the graph stage for a document."""
    return Reservation(
        call_id=call_id or uuid.uuid4().hex,
        provider=provider,
        model="gpt-4.1-mini",
        task_type=TaskType.ENTITY_EXTRACTION,
        asked_for=AskedFor(collection, document_id, Stage.GRAPH),
        run_id=run_id,
        attempt=1,
        amount=NanoUsd(amount),
        price_version="test",
        seconds_to_live=seconds_to_live,
    )


def settlement(call_id: str, cost: int | None, *, outcome: str = "ok", usage: Usage | None = USAGE) -> Settlement:
    """The end of a call after 700 ms."""
    return Settlement(call_id, outcome, usage, None if cost is None else NanoUsd(cost), latency_seconds=0.7)


def estimated(usage: Usage) -> Usage:
    """The same tokens, but estimated because the provider did not report them."""
    return replace(usage, estimated=True)


def spent_in_every_way(engine: sa.Engine, month: Month) -> int:
    """What a month has cost. Calls, accounts and roll-ups must say the same, and reservations add up."""
    totals = LedgerReports(engine).totals(month)
    assert totals.rows == totals.accounts == totals.rollups
    open_calls = sa.select(sa.func.sum(llm_calls.c.reserved_nanousd)).where(IS_RESERVED, llm_calls.c.month == month)
    held = sa.select(sa.func.sum(llm_accounts.c.reserved_nanousd)).where(
        llm_accounts.c.kind == AccountKind.PROVIDER.value, llm_accounts.c.period == month
    )
    with read(engine) as connection:
        assert int(connection.execute(open_calls).scalar() or 0) == int(connection.execute(held).scalar() or 0)
    return totals.rows
