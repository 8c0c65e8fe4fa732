"""Many processes, many calls at once, money for a third: nothing over the limit, nothing lost, nothing paid twice."""

import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from aegis_dagster.domain.money import nano_usd
from aegis_dagster_tests.support import money_ingester
from aegis_dagster_tests.support.llm_server import Behaviour, Rule, scripted_server
from aegis_dagster_tests.support.money_homes import Home, finished, make_home
from aegis_dagster_tests.support.projects import write_documents
from aegis_dagster_tests.support.warm_processes import warm_parent

PROCESSES = 8
DOCUMENTS = [f"harbour/{number:03}.txt" for number in range(32)]
SLOW = Rule(Behaviour(latency_seconds=0.1))  # so that many calls are on their way at once


def spent(home: Home) -> tuple[int, int]:
    """Spent and reserved of the paid provider, in nano-USD."""
    with sqlite3.connect(home.database) as connection:
        query = "SELECT sum(spent_nanousd), sum(reserved_nanousd) FROM llm_accounts WHERE kind = 'provider'"
        paid, reserved = connection.execute(query).fetchone()
    return paid, reserved


def statuses(home: Home) -> Counter[str]:
    """Documents by status at the graph stage."""
    with sqlite3.connect(home.database) as connection:
        rows = connection.execute("SELECT status, count(*) FROM stage_states WHERE stage = 'graph' GROUP BY status")
        return Counter(dict(rows.fetchall()))


@pytest.mark.slow
def test_a_budget_for_a_third_is_never_exceeded_and_the_rest_is_done_when_it_is_raised(tmp_path: Path) -> None:
    with scripted_server() as server, warm_parent(money_ingester, tmp_path) as parent:
        server.script([SLOW])
        plenty = make_home(tmp_path / "plenty", server, limit_usd="1000", provider={"concurrency": 64})
        write_documents(plenty.root, DOCUMENTS, paragraphs=8)
        finished([plenty.start(parent)])
        everything, _ = spent(plenty)
        chunks = len(server.records())
        assert statuses(plenty) == {"done": len(DOCUMENTS)}
        server.reset()
        server.script([SLOW])

        limit = nano_usd(f"{everything / 3 / 1e9:.9f}")
        home = make_home(tmp_path / "third", server, limit_usd=f"{limit / 1e9:.9f}", provider={"concurrency": 64})
        write_documents(home.root, DOCUMENTS, paragraphs=8)
        finished([home.start(parent, "parse")])  # the race is about money, not about parsing
        finished([home.start(parent) for _ in range(PROCESSES)])

        paid, reserved = spent(home)
        assert 0 < paid <= limit
        assert reserved == 0
        first = statuses(home)
        assert first["deferred"] > 0
        assert first["done"] + first["deferred"] == len(DOCUMENTS)

        home.aegis("budget", "raise", "dashscope", "1000")
        finished([home.start(parent) for _ in range(PROCESSES)])
        assert statuses(home) == {"done": len(DOCUMENTS)}
        asked = Counter(str(record.body["messages"]) for record in server.records() if record.answered)
        assert len(asked) == chunks
        assert set(asked.values()) == {1}
        assert spent(home) == (everything, 0)
