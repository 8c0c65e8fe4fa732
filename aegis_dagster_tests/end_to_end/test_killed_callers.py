"""kill -9 of callers at random: nothing leaks, and nothing is free."""

import random
import signal
import sqlite3
import time
from datetime import timedelta
from pathlib import Path

import pytest

from aegis_dagster.composition.models import account_limits
from aegis_dagster.domain.money import NanoUsd, month_of
from aegis_dagster.settings import Settings
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster.stores.database import open_database
from aegis_dagster.stores.ledger.ledger import Ledger
from aegis_dagster.stores.ledger.reports import LedgerReports
from aegis_dagster_tests.support import money_caller
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.llm_server import Behaviour, Rule, scripted_server
from aegis_dagster_tests.support.money_homes import Home, make_home
from aegis_dagster_tests.support.warm_processes import warm_parent

KILLS = 12
RESERVED = "SELECT sum(reserved_nanousd) FROM llm_accounts WHERE kind = 'provider'"


def by_status(home: Home) -> dict[str, tuple[int, int]]:
    """Status to the number of its calls and their cost in nano-USD."""
    with sqlite3.connect(home.database, timeout=30) as connection:
        rows = connection.execute("SELECT status, count(*), sum(cost_nanousd) FROM llm_calls GROUP BY status")
        return {status: (count, cost or 0) for status, count, cost in rows}


@pytest.mark.slow
def test_calls_of_killed_processes_cost_their_reservation_when_its_time_is_over(tmp_path: Path) -> None:
    chance = random.Random(3)
    with scripted_server() as server, warm_parent(money_caller, tmp_path) as parent:
        server.script([Rule(Behaviour(latency_seconds=0.2))])
        home = make_home(tmp_path, server, limit_usd="1000", provider={"concurrency": 16})
        killed = 0
        while killed < KILLS:
            seen = server.counts()["calls"]
            callers = [home.start(parent, "1000", "16", str(killed + number)) for number in range(2)]
            while server.counts()["calls"] < seen + 8:
                time.sleep(0.02)
            for caller in callers:
                time.sleep(chance.uniform(0, 0.4))
                caller.kill()
                assert caller.wait() == -signal.SIGKILL
                killed += 1
        time.sleep(0.5)  # the server notices that nobody waits any more
        asked = len(server.records())

    left = by_status(home)
    assert left["reserved"][0] > 0, "no call was on its way when its process was killed"
    # A request without a row would have been free.
    assert sum(count for count, _ in left.values()) >= asked

    engine = open_database(f"sqlite:///{home.database}")
    later = SetClock()
    later.time = SystemClock().now() + timedelta(hours=1)
    reports = LedgerReports(engine)
    (month,) = {month_of(SystemClock().now())}
    with sqlite3.connect(home.database) as connection:
        held: int = connection.execute(RESERVED).fetchone()[0]
    assert held > 0

    assert Ledger(engine, later, account_limits(Settings())).expire() == left["reserved"][0]

    after = by_status(home)
    assert after["expired"] == (left["reserved"][0], held)
    assert "reserved" not in after
    total = NanoUsd(sum(cost for _, cost in after.values()))
    totals = reports.totals(month)
    assert (totals.rows, totals.accounts, totals.rollups) == (total, total, total)
    with sqlite3.connect(home.database) as connection:
        assert connection.execute(RESERVED).fetchone()[0] == 0
