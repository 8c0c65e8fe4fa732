"""Reserving and settling: what fits, what is refused, and what a call costs in the end."""

import asyncio
import logging

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from aegis_dagster.domain.accounts import Account, AccountKey, AccountKind, AccountLimits, BudgetRefusal
from aegis_dagster.domain.money import NanoUsd
from aegis_dagster.domain.prices import Usage
from aegis_dagster.stores.database import read
from aegis_dagster.stores.ledger.ledger import Ledger
from aegis_dagster.stores.ledger.reports import LedgerReports
from aegis_dagster.stores.ledger.schema import llm_accounts, llm_calls
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.ledger_calls import (
    FEBRUARY,
    JANUARY,
    LIMITS,
    OPENAI,
    reservation,
    settlement,
    spent_in_every_way,
)

REPORTS = AccountKey(AccountKind.COLLECTION, "reports", JANUARY)
RUN = AccountKey(AccountKind.RUN, "run-1", "")


def held(engine: sa.Engine) -> dict[AccountKey, tuple[int, int]]:
    """(reserved, spent) of every account there is."""
    with read(engine) as connection:
        return {
            AccountKey(AccountKind(row.kind), row.name, row.period): (row.reserved_nanousd, row.spent_nanousd)
            for row in connection.execute(sa.select(llm_accounts))
        }


def status_of(engine: sa.Engine, call_id: str) -> tuple[str, str, int | None]:
    with read(engine) as connection:
        row = connection.execute(sa.select(llm_calls).where(llm_calls.c.call_id == call_id)).one()
        return row.status, row.outcome, row.cost_nanousd


async def test_a_call_is_reserved_and_costs_what_it_did_cost(ledger: Ledger, engine: sa.Engine) -> None:
    assert await ledger.reserve(reservation(600, "a")) is None
    assert held(engine) == {OPENAI: (600, 0), REPORTS: (600, 0)}
    await ledger.settle(settlement("a", 250))
    assert held(engine) == {OPENAI: (0, 250), REPORTS: (0, 250)}
    assert status_of(engine, "a") == ("settled", "ok", 250)
    assert spent_in_every_way(engine, JANUARY) == 250


async def test_a_limit_is_filled_to_the_last_nano_dollar_and_not_beyond(ledger: Ledger, engine: sa.Engine) -> None:
    assert await ledger.reserve(reservation(400, "a")) is None
    refusal = await ledger.reserve(reservation(601, "b"))
    assert refusal == BudgetRefusal(Account(OPENAI, NanoUsd(1000), NanoUsd(400), NanoUsd(0)), NanoUsd(601))
    assert await ledger.reserve(reservation(600, "c")) is None
    assert held(engine)[OPENAI] == (1000, 0)


async def test_what_is_free_goes_on_when_the_money_is_out(ledger: Ledger) -> None:
    assert await ledger.reserve(reservation(1000)) is None
    assert await ledger.reserve(reservation(1)) is not None
    assert await ledger.reserve(reservation(0)) is None
    assert await ledger.reserve(reservation(10**15, provider="local")) is None
    assert await ledger.reserve(reservation(5, provider="nobody configured me")) is None


async def test_what_was_not_used_of_a_reservation_can_be_reserved_again(ledger: Ledger) -> None:
    assert await ledger.reserve(reservation(1000, "a")) is None
    assert await ledger.reserve(reservation(900, "b")) is not None
    await ledger.settle(settlement("a", 100))
    assert await ledger.reserve(reservation(901, "c")) is not None
    assert await ledger.reserve(reservation(900, "d")) is None


async def test_settling_twice_changes_nothing(ledger: Ledger, engine: sa.Engine) -> None:
    await ledger.reserve(reservation(600, "a"))
    await ledger.settle(settlement("a", 250))
    await ledger.settle(settlement("a", 90, outcome="timeout"))
    await asyncio.gather(*(ledger.settle(settlement("a", cost)) for cost in range(20)))
    assert status_of(engine, "a") == ("settled", "ok", 250)
    assert held(engine)[OPENAI] == (0, 250)
    assert spent_in_every_way(engine, JANUARY) == 250


async def test_a_call_settled_by_two_at_once_is_settled_once(
    ledger: Ledger, engine: sa.Engine, clock: SetClock
) -> None:
    other = Ledger(engine, clock, LIMITS)
    for call in range(20):
        await ledger.reserve(reservation(10, str(call)))
    ends = [(one, str(call)) for call in range(20) for one in (ledger, other)]
    await asyncio.gather(*(one.settle(settlement(call_id, 7)) for one, call_id in ends))
    await other.aclose()
    assert held(engine)[OPENAI] == (0, 140)
    assert spent_in_every_way(engine, JANUARY) == 140


async def test_a_settlement_of_no_reservation_changes_nothing(ledger: Ledger, engine: sa.Engine) -> None:
    await ledger.settle(settlement("never reserved", 250))
    assert held(engine) == {}
    assert spent_in_every_way(engine, JANUARY) == 0


async def test_a_call_that_may_have_been_billed_costs_its_reservation(
    ledger: Ledger, engine: sa.Engine, reports: LedgerReports
) -> None:
    await ledger.reserve(reservation(600, "a"))
    await ledger.settle(settlement("a", None, outcome="timeout", usage=None))
    assert status_of(engine, "a") == ("unknown", "timeout", 600)
    assert held(engine)[OPENAI] == (0, 600)
    assert spent_in_every_way(engine, JANUARY) == 600
    [row] = reports.usage()
    assert (row.calls, row.failed_calls, row.unknown_calls, row.input_tokens, row.cost) == (1, 1, 1, 0, 600)


async def test_a_call_that_cost_more_than_reserved_is_accounted_in_full_and_counted(
    ledger: Ledger, engine: sa.Engine, reports: LedgerReports
) -> None:
    await ledger.reserve(reservation(600, "a"))
    await ledger.settle(settlement("a", 1100))
    assert held(engine)[OPENAI] == (0, 1100)
    assert spent_in_every_way(engine, JANUARY) == 1100
    assert [row.over_reservation_calls for row in reports.usage()] == [1]
    assert await ledger.reserve(reservation(1)) is not None


async def test_a_call_counts_in_the_month_in_which_it_was_reserved(
    ledger: Ledger, engine: sa.Engine, clock: SetClock, reports: LedgerReports
) -> None:
    clock.move(12 * 3600 - 0.001)  # the last millisecond of January
    assert await ledger.reserve(reservation(1000, "a", seconds_to_live=60)) is None
    assert await ledger.reserve(reservation(1, "b")) is not None
    clock.move(0.001)
    assert await ledger.reserve(reservation(300, "c")) is None  # a new month, a new account
    await ledger.settle(settlement("a", 700))
    await ledger.settle(settlement("c", 200))
    assert spent_in_every_way(engine, JANUARY) == 700
    assert spent_in_every_way(engine, FEBRUARY) == 200
    assert [(row.month, row.day, row.cost) for row in reports.usage({"month", "day"})] == [
        ("2026-01", "2026-01-31", 700),
        ("2026-02", "2026-02-01", 200),
    ]
    by_document = reports.usage({"month", "day", "document_id"})
    assert [(row.month, row.day, row.cost) for row in by_document] == [
        ("2026-01", "2026-01-31", 700),
        ("2026-02", "2026-02-01", 200),
    ]


@pytest.mark.parametrize("tight", ["provider", "collection", "run"])
async def test_a_reservation_takes_from_all_its_accounts_or_from_none(
    engine: sa.Engine, clock: SetClock, tight: str
) -> None:
    limit = {name: NanoUsd(99 if name == tight else 1000) for name in ("provider", "collection", "run")}
    limits = AccountLimits({"openai": limit["provider"]}, {"reports": limit["collection"]}, limit["run"])
    ledger = Ledger(engine, clock, limits)
    refusal = await ledger.reserve(reservation(100, "a"))
    assert refusal is not None and refusal.account.key.kind == tight
    assert held(engine) == {OPENAI: (0, 0), REPORTS: (0, 0), RUN: (0, 0)}
    assert await ledger.reserve(reservation(99, "b")) is None
    assert held(engine) == {OPENAI: (99, 0), REPORTS: (99, 0), RUN: (99, 0)}
    await ledger.settle(settlement("b", 40))
    assert held(engine) == {OPENAI: (0, 40), REPORTS: (0, 40), RUN: (0, 40)}
    await ledger.aclose()


async def test_a_call_is_settled_on_the_accounts_it_was_charged_to_whatever_the_settings_say_now(
    engine: sa.Engine, clock: SetClock
) -> None:
    before = Ledger(engine, clock, AccountLimits({"openai": NanoUsd(1000)}, {}, NanoUsd(500)))
    after = Ledger(engine, clock, AccountLimits({"openai": NanoUsd(1000)}, {}, None))
    await before.reserve(reservation(100, "a"))
    await after.reserve(reservation(100, "b"))
    await after.settle(settlement("a", 60))
    await before.settle(settlement("b", 30))
    assert held(engine)[RUN] == (0, 60)
    assert held(engine)[OPENAI] == (0, 90)
    await before.aclose()
    await after.aclose()


async def test_a_limit_set_in_the_middle_of_a_month_counts_what_the_month_has_cost(
    engine: sa.Engine, clock: SetClock
) -> None:
    before = Ledger(engine, clock, LIMITS)
    await before.reserve(reservation(300, "a"))
    await before.settle(settlement("a", 300))
    await before.reserve(reservation(150, "b"))
    after = Ledger(engine, clock, AccountLimits({"openai": NanoUsd(1000)}, {"reports": NanoUsd(500)}))
    assert await after.reserve(reservation(51, "c")) is not None
    assert await after.reserve(reservation(50, "d")) is None
    await before.aclose()
    await after.aclose()


async def test_an_expired_call_costs_its_reservation_and_counts_as_lost(
    ledger: Ledger, engine: sa.Engine, clock: SetClock, reports: LedgerReports
) -> None:
    await ledger.reserve(reservation(300, "short", seconds_to_live=60))
    await ledger.reserve(reservation(400, "long", seconds_to_live=61))
    clock.move(60)
    assert ledger.expire() == 1
    assert ledger.expire() == 0
    assert status_of(engine, "short") == ("expired", "lost", 300)
    assert held(engine) == {OPENAI: (400, 300), REPORTS: (400, 300)}
    assert spent_in_every_way(engine, JANUARY) == 300
    [row] = reports.usage()
    assert (row.calls, row.failed_calls, row.unknown_calls) == (1, 1, 1)
    assert [(error.error_type, error.calls) for error in reports.errors()] == [("lost", 1)]
    assert reports.latency() == []


async def test_whoever_reserves_expires_what_others_have_left(engine: sa.Engine, clock: SetClock) -> None:
    gone = Ledger(engine, clock, LIMITS)
    await gone.reserve(reservation(300, "a", seconds_to_live=60))
    await gone.aclose()
    clock.move(61)
    ledger = Ledger(engine, clock, LIMITS)
    await ledger.reserve(reservation(100, "b"))
    assert status_of(engine, "a") == ("expired", "lost", 300)
    await ledger.aclose()


async def test_more_calls_than_one_transaction_takes_expire(ledger: Ledger, engine: sa.Engine, clock: SetClock) -> None:
    await asyncio.gather(*(ledger.reserve(reservation(1, provider="local")) for _ in range(1001)))
    clock.move(601)
    assert ledger.expire() == 1001
    assert spent_in_every_way(engine, JANUARY) == 1001


async def test_a_settlement_after_expiry_changes_nothing_and_is_logged_without_content(
    ledger: Ledger, engine: sa.Engine, clock: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    await ledger.reserve(reservation(300, "a", seconds_to_live=60))
    clock.move(61)
    ledger.expire()
    with caplog.at_level(logging.WARNING):
        await ledger.settle(settlement("a", 20))
    assert status_of(engine, "a") == ("expired", "lost", 300)
    assert spent_in_every_way(engine, JANUARY) == 300
    assert [record.getMessage() for record in caplog.records] == [
        "Call a to openai was settled after its reservation had expired; it costs its reservation."
    ]


async def test_a_settlement_that_comes_late_but_before_expiry_was_noticed_counts(
    ledger: Ledger, engine: sa.Engine, clock: SetClock
) -> None:
    await ledger.reserve(reservation(300, "a", seconds_to_live=60))
    clock.move(61)
    await ledger.settle(settlement("a", 20))
    assert ledger.expire() == 0
    assert spent_in_every_way(engine, JANUARY) == 20


async def test_one_bad_operation_of_a_batch_hurts_only_itself(ledger: Ledger, engine: sa.Engine) -> None:
    await ledger.reserve(reservation(10, "there already"))
    good = [ledger.reserve(reservation(10, f"good-{index}")) for index in range(10)]
    bad = ledger.reserve(reservation(10, "there already"))
    unwritable = ledger.reserve(reservation(10, "u", document_id="\udc80"))  # no UTF-8
    settle = ledger.settle(settlement("there already", 4))
    answers = await asyncio.gather(*good[:5], bad, settle, unwritable, *good[5:], return_exceptions=True)
    assert isinstance(answers.pop(5), IntegrityError)
    assert answers.pop(5) is None
    assert isinstance(answers.pop(5), UnicodeEncodeError)
    assert answers == [None] * 10
    assert held(engine)[OPENAI] == (100, 4)


async def test_amounts_that_are_no_amounts_are_turned_down(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="-1 nano-USD"):
        await ledger.reserve(reservation(-1))
    with pytest.raises(ValueError, match="cannot be reserved"):
        await ledger.reserve(reservation(2**63))
    with pytest.raises(ValueError, match="-1 nano-USD"):
        await ledger.settle(settlement("a", -1, usage=Usage()))
