"""What the server counted is what the ledger holds, to the nano-dollar, from many processes with every failure."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from aegis_dagster.domain.money import nano_usd
from aegis_dagster.stores.database import open_database
from aegis_dagster.stores.ledger.reports import LedgerReports
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, Record, Rule, Tokens, UsageShape, scripted_server
from aegis_dagster_tests.support.money_caller import SECRET
from aegis_dagster_tests.support.money_homes import PAID, PRICE, Home, finished, make_home

PROCESSES, TASKS = 8, 300
# The model may have run, and nobody told what it used: these cost their reservation.
UNKNOWN = {
    Kind.MALFORMED_JSON,
    Kind.HTML,
    Kind.EMPTY_CHOICES,
    Kind.RESET_BEFORE,
    Kind.RESET_AFTER,
    Kind.RESET_MIDWAY,
    Kind.TRICKLE,
    Kind.HANG,
}
ONCE_EACH = [kind for kind in Kind if kind not in {Kind.ANSWER, Kind.HANG, Kind.TRICKLE}]
MIXTURE = (
    (Behaviour(cached_tokens=5, reasoning_tokens=7), 60.0),
    (Behaviour(), 20.0),
    (Behaviour(usage=UsageShape.ABSENT), 3.0),
    (Behaviour(usage=UsageShape.TOTAL_ONLY), 3.0),
    (Behaviour(kind=Kind.HANG), 0.15),
    (Behaviour(kind=Kind.TRICKLE), 0.15),
    *((Behaviour(kind=kind, retry_after="0"), 1.0) for kind in ONCE_EACH),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left when all callers have ended."""

    home: Home
    records: list[Record]  # of the server
    rows: list[dict[str, Any]]  # of the ledger

    def rows_with(self, **values: object) -> list[dict[str, Any]]:
        return [row for row in self.rows if all(row[name] == value for name, value in values.items())]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    with scripted_server() as server:
        home = make_home(
            tmp_path_factory.mktemp("money"),
            server,
            limit_usd="1000",
            provider={"concurrency": 32, "timeout_seconds": 20.0},
            rest_seconds=0.01,
            max_wait_seconds=0.3,
        )
        server.script([Rule(mixture=MIXTURE, seed=7)])
        done = finished([home.start(str(TASKS), "32", str(seed)) for seed in range(PROCESSES)], timeout=250)
        assert sum(sum(ended.values()) for ended in done) == PROCESSES * TASKS
        assert {"answered", "content_refused", "context_too_long"} <= {end for ended in done for end in ended}
        yield Outcome(home, server.records(), ledger_rows(home))


def ledger_rows(home: Home) -> list[dict[str, Any]]:
    """Every call, as it stands in the table."""
    with sqlite3.connect(home.database) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM llm_calls")]


def price_of(tokens: Tokens) -> int:
    """What the tokens cost in nano-USD, reckoned here from the rates of the settings."""
    parts = {
        "input": tokens.input - tokens.cached,
        "cached": tokens.cached,
        "output": tokens.output - tokens.reasoning,
        "reasoning": tokens.reasoning,
    }
    return -(-sum(count * nano_usd(PRICE[name]) for name, count in parts.items()) // 1_000_000)


@pytest.mark.slow
def test_every_call_the_server_saw_is_one_row_and_every_kind_of_failure_was_met(outcome: Outcome) -> None:
    assert len(outcome.records) >= 2_000
    assert {record.kind for record in outcome.records} == set(Kind)
    assert len(outcome.rows) == len(outcome.records)
    assert outcome.rows_with(status="reserved") == []


@pytest.mark.slow
def test_told_usage_is_accounted_to_the_token_and_the_nano_dollar(outcome: Outcome) -> None:
    told = [record.reported for record in outcome.records if record.answered and record.reported is not None]
    rows = [row for row in outcome.rows_with(status="settled", estimated=0) if row["input_tokens"]]

    assert len(rows) == len(told)
    assert sum(row["input_tokens"] for row in rows) == sum(tokens.input for tokens in told)
    assert sum(row["cached_tokens"] for row in rows) == sum(tokens.cached for tokens in told)
    assert sum(row["output_tokens"] for row in rows) == sum(tokens.output for tokens in told)
    assert sum(row["reasoning_tokens"] for row in rows) == sum(tokens.reasoning for tokens in told)
    assert sum(row["cost_nanousd"] for row in rows) == sum(price_of(tokens) for tokens in told)


@pytest.mark.slow
def test_what_was_not_told_is_estimated_and_marked(outcome: Outcome) -> None:
    silent = [record for record in outcome.records if record.answered and record.reported is None]
    rows = outcome.rows_with(estimated=1)

    assert len(rows) == len(silent) > 0
    assert all(row["cost_nanousd"] > 0 and row["status"] == "settled" for row in rows)


@pytest.mark.slow
def test_what_may_have_been_billed_costs_its_reservation_and_the_rest_nothing(outcome: Outcome) -> None:
    broken = [record for record in outcome.records if record.kind in UNKNOWN]
    unknown = outcome.rows_with(status="unknown")

    assert len(unknown) == len(broken) > 0
    assert all(row["cost_nanousd"] == row["reserved_nanousd"] > 0 for row in unknown)
    refused = [row for row in outcome.rows_with(status="settled") if row["outcome"] != "ok" and not row["input_tokens"]]
    assert refused != []
    assert {row["cost_nanousd"] for row in refused} == {0}


@pytest.mark.slow
def test_rows_account_roll_ups_and_the_command_agree_to_the_nano_dollar(outcome: Outcome) -> None:
    total = sum(row["cost_nanousd"] for row in outcome.rows)
    costs = outcome.home.aegis("costs")
    (account,) = [one for one in costs["accounts"] if one["provider"] == PAID]
    totals = LedgerReports(open_database(f"sqlite:///{outcome.home.database}")).totals(account["month"])

    assert costs["total_nanousd"] == sum(row["cost_nanousd"] for row in costs["rows"]) == total
    assert (account["spent_nanousd"], account["reserved_nanousd"]) == (total, 0)
    assert (totals.rows, totals.accounts, totals.rollups) == (total, total, total)
    assert sum(row["calls"] for row in costs["rows"]) == len(outcome.records)
    assert all(row["cost_nanousd"] <= row["reserved_nanousd"] for row in outcome.rows)


@pytest.mark.slow
def test_no_prompt_and_no_key_stand_in_the_home(outcome: Outcome) -> None:
    held = b"".join(file.read_bytes() for file in outcome.home.database.parent.rglob("*") if file.is_file())
    assert b"harbour/1.txt" in held
    assert SECRET.encode() not in held
    assert b"sk-secret-of-the-test" not in held
