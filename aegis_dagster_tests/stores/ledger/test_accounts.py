"""Limits: those of the settings, those of an operator, and what both show."""

import asyncio

import pytest
import sqlalchemy as sa

from aegis_dagster.domain.accounts import Account, AccountKey, AccountKind, AccountLimits
from aegis_dagster.domain.money import NanoUsd
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.stores.ledger.ledger import Ledger
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

LOCAL = AccountKey(AccountKind.PROVIDER, "local", JANUARY)
REPORTS = AccountKey(AccountKind.COLLECTION, "reports", JANUARY)
RUN = AccountKey(AccountKind.RUN, "run-1", "")


def account(key: AccountKey, limit: int | None, *, reserved: int = 0, spent: int = 0, by_hand: bool = False) -> Account:
    return Account(key, None if limit is None else NanoUsd(limit), NanoUsd(reserved), NanoUsd(spent), by_hand)


async def test_providers_are_listed_before_anybody_has_charged_them(ledger: Ledger) -> None:
    assert ledger.accounts(JANUARY) == [account(LOCAL, None), account(OPENAI, 1000)]
    await ledger.reserve(reservation(70, "a"))
    assert ledger.accounts(JANUARY) == [account(LOCAL, None), account(OPENAI, 1000, reserved=70)]


async def test_accounts_of_all_months_are_listed_when_none_is_named(ledger: Ledger, clock: SetClock) -> None:
    await ledger.reserve(reservation(70, "a"))
    clock.move(86_400)
    listed = {(one.key.name, one.key.period, one.reserved) for one in ledger.accounts()}
    assert listed == {("openai", JANUARY, 70), ("openai", FEBRUARY, 0), ("local", FEBRUARY, 0)}


async def test_a_limit_follows_the_settings_until_an_operator_sets_it(engine: sa.Engine, clock: SetClock) -> None:
    old = Ledger(engine, clock, LIMITS)
    await old.reserve(reservation(900))
    new = Ledger(engine, clock, AccountLimits({"openai": NanoUsd(2000)}))
    assert new.accounts(JANUARY) == [account(OPENAI, 2000, reserved=900)]
    assert await new.reserve(reservation(1100)) is None
    assert new.set_limit(OPENAI, NanoUsd(2500)) == account(OPENAI, 2500, reserved=2000, by_hand=True)
    assert await old.reserve(reservation(501)) is not None
    assert await old.reserve(reservation(500)) is None
    assert old.follow_settings(OPENAI) == account(OPENAI, 1000, reserved=2500)
    assert await old.reserve(reservation(1)) is not None
    await old.aclose()
    await new.aclose()


async def test_raising_a_limit_lets_those_in_who_were_refused(ledger: Ledger, engine: sa.Engine) -> None:
    async def until_done(index: int) -> int:
        refused = 0
        while await ledger.reserve(reservation(100, f"{index}-{refused}")) is not None:
            refused += 1
            await asyncio.sleep(0.005)
        await ledger.settle(settlement(f"{index}-{refused}", 100))
        return refused

    calls = [asyncio.create_task(until_done(index)) for index in range(30)]
    done = asyncio.as_completed(calls)
    for _ in range(10):
        await next(done)
    await asyncio.sleep(0.05)
    assert sum(call.done() for call in calls) == 10
    assert spent_in_every_way(engine, JANUARY) == 1000
    raised = await asyncio.to_thread(ledger.raise_limit, OPENAI, NanoUsd(2000))
    assert raised == account(OPENAI, 3000, spent=1000, by_hand=True)
    refusals = await asyncio.gather(*calls)
    assert sum(1 for refused in refusals if refused) == 20
    assert spent_in_every_way(engine, JANUARY) == 3000


async def test_an_operator_can_limit_a_collection_that_the_settings_do_not_name(ledger: Ledger) -> None:
    await ledger.reserve(reservation(300))
    assert ledger.set_limit(REPORTS, NanoUsd(310)) == account(REPORTS, 310, reserved=300, by_hand=True)
    assert await ledger.reserve(reservation(11)) is not None
    assert await ledger.reserve(reservation(11, collection="others")) is None
    assert account(REPORTS, 310, reserved=300, by_hand=True) in ledger.accounts(JANUARY)
    assert ledger.follow_settings(REPORTS) == account(REPORTS, None, reserved=300)
    assert await ledger.reserve(reservation(11)) is None


async def test_a_limit_can_be_lifted_and_an_unlimited_account_stays_so_when_raised(ledger: Ledger) -> None:
    assert ledger.set_limit(OPENAI, None) == account(OPENAI, None, by_hand=True)
    assert await ledger.reserve(reservation(10**12)) is None
    assert ledger.raise_limit(OPENAI, NanoUsd(5)).limit is None


async def test_a_limit_set_for_one_month_does_not_reach_the_next(ledger: Ledger, clock: SetClock) -> None:
    ledger.set_limit(OPENAI, NanoUsd(5))
    assert await ledger.reserve(reservation(6)) is not None
    clock.move(86_400)
    assert await ledger.reserve(reservation(1000)) is None


def test_a_run_is_limited_only_where_runs_have_a_limit(engine: sa.Engine, clock: SetClock) -> None:
    with pytest.raises(ConfigurationError, match=r"llm\.budgets\.per_run"):
        Ledger(engine, clock, LIMITS).set_limit(RUN, NanoUsd(5))
    limited = Ledger(engine, clock, AccountLimits(per_run=NanoUsd(100)))
    assert limited.raise_limit(RUN, NanoUsd(5)) == account(RUN, 105, by_hand=True)


def test_limits_that_are_no_limits_are_turned_down(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="-1 nano-USD"):
        ledger.set_limit(OPENAI, NanoUsd(-1))
    with pytest.raises(ValueError, match="-1 nano-USD"):
        ledger.raise_limit(OPENAI, NanoUsd(-1))
    with pytest.raises(ConfigurationError, match="more than can be accounted"):
        ledger.raise_limit(OPENAI, NanoUsd(2**63 - 1))
    assert ledger.accounts(JANUARY)[1] == account(OPENAI, 1000)
