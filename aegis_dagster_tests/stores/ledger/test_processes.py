"""Many processes on one ledger: nobody overspends, and nothing is lost when they are killed."""

import asyncio
import random
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import sqlalchemy as sa

from aegis_dagster.domain.accounts import AccountKey, AccountKind
from aegis_dagster.domain.money import Month, NanoUsd
from aegis_dagster.stores.database import read
from aegis_dagster.stores.ledger.ledger import Ledger
from aegis_dagster.stores.ledger.reports import LedgerReports, OpenReservations
from aegis_dagster.stores.ledger.schema import llm_calls
from aegis_dagster_tests.support import ledger_workers as workers
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.ledger_calls import reservation, spent_in_every_way

JANUARY = Month("2026-01")
LIMIT = 1_000_000
KILLS = 12


def joined(processes: list[BaseProcess]) -> None:
    for process in processes:
        process.join(200)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def test_eight_processes_fill_a_limit_to_the_last_nano_dollar_and_never_overspend(url: str, engine: sa.Engine) -> None:
    begin = workers.PROCESSES.Barrier(8)
    racing = [workers.start(workers.spend_until_refused, url, LIMIT, seed, begin) for seed in range(8)]
    key, ledger = AccountKey(AccountKind.PROVIDER, "openai", JANUARY), Ledger(engine, SetClock(), workers.limits(LIMIT))
    taken = []
    while any(process.is_alive() for process in racing):
        accounts = {account.key: account for account in ledger.accounts(JANUARY)}
        taken.append(accounts[key].reserved + accounts[key].spent)
        time.sleep(0.01)
    joined(racing)
    assert max(taken) <= LIMIT
    assert spent_in_every_way(engine, JANUARY) == LIMIT
    assert LedgerReports(engine).open_reservations(JANUARY) == OpenReservations(0, NanoUsd(0))


def test_what_killed_processes_leave_behind_expires_and_nothing_is_free(
    url: str, engine: sa.Engine, tmp_path: Path
) -> None:
    journals = [tmp_path / f"journal-{index}" for index in range(KILLS)]
    running: list[BaseProcess] = []
    for index, journal in enumerate(journals):
        running.append(workers.start(workers.make_calls_until_killed, url, str(journal)))
        while not (journal.exists() and journal.stat().st_size):
            time.sleep(0.002)
        if index >= 2:  # three at a time
            time.sleep(random.random() * 0.15)
            running.pop(random.randrange(3)).kill()
    for process in running:
        process.kill()
        process.join(200)
    left = LedgerReports(engine).open_reservations(JANUARY)
    assert left.calls > 0
    spent = spent_in_every_way(engine, JANUARY)

    assert Ledger(engine, SetClock(), workers.limits(None)).expire() == left.calls  # SetClock is weeks later
    assert spent_in_every_way(engine, JANUARY) == spent + left.reserved
    assert LedgerReports(engine).open_reservations(JANUARY) == OpenReservations(0, NanoUsd(0))
    with read(engine) as connection:
        costs = {row.call_id: row.cost_nanousd for row in connection.execute(sa.select(llm_calls))}
    sent = {call_id for journal in journals for call_id in journal.read_text().splitlines()}
    assert len(sent) >= KILLS
    assert all(costs[call_id] > 0 for call_id in sent)


async def test_calls_settled_by_two_processes_at_once_are_settled_once(url: str, engine: sa.Engine) -> None:
    ledger = Ledger(engine, workers.RunningClock(), workers.limits(None))
    calls = [reservation(100) for _ in range(200)]
    await asyncio.gather(*(ledger.reserve(call) for call in calls))
    await ledger.aclose()
    ids = [call.call_id for call in calls]
    begin = workers.PROCESSES.Barrier(2)
    # In opposite order: whoever locks calls must not wait for the other in a circle.
    joined(
        [
            workers.start(workers.settle_all, url, ids, 60, begin),
            workers.start(workers.settle_all, url, ids[::-1], 60, begin),
        ]
    )
    assert spent_in_every_way(engine, JANUARY) == 200 * 60
    assert [row.calls for row in LedgerReports(engine).usage()] == [200]


def test_eight_processes_of_sixteen_callers_each_settle_to_the_nano_dollar(url: str, engine: sa.Engine) -> None:
    begin = workers.PROCESSES.Barrier(8)
    joined([workers.start(workers.make_calls, url, 32, 16, begin, None) for _ in range(8)])
    assert spent_in_every_way(engine, JANUARY) == 8 * 32 * 700
