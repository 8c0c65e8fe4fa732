"""What the server counted is what the ledger holds, to the nano-dollar, from many processes with every failure.

Every call is compared with what the server says of it. Where the machine stands still for a while, some calls reach
no server (and cost nothing) and some answers come after their time (and cost their reservation): these are told by
the ledger's own row, which says that the connection failed, or that as much time had passed.
"""

import re
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from aegis_dagster.domain.money import nano_usd
from aegis_dagster.llm.retry_policy import ErrorType
from aegis_dagster.stores.database import open_database
from aegis_dagster.stores.ledger.reports import LedgerReports
from aegis_dagster_tests.support import money_caller
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, Record, Rule, Tokens, UsageShape, scripted_server
from aegis_dagster_tests.support.money_caller import SECRET
from aegis_dagster_tests.support.money_homes import PAID, PRICE, Home, finished, make_home
from aegis_dagster_tests.support.warm_processes import warm_parent

pytestmark = pytest.mark.slow

PROCESSES, TASKS = 8, 75
TIMEOUT_SECONDS = 10.0
# The model may have run, and nobody told what it used: these cost their reservation.
UNKNOWN = {
    Kind.MALFORMED_JSON,
    Kind.HTML,
    Kind.RESET_BEFORE,
    Kind.RESET_AFTER,
    Kind.RESET_MIDWAY,
    Kind.TRICKLE,
    Kind.HANG,
}
NEVER_ENDING = [Behaviour(kind=Kind.HANG), Behaviour(kind=Kind.TRICKLE)] * 2
ONCE_EACH = [kind for kind in Kind if kind not in {Kind.ANSWER, Kind.HANG, Kind.TRICKLE}]
MIXTURE = (
    (Behaviour(cached_tokens=5, reasoning_tokens=7), 50.0),
    (Behaviour(), 20.0),
    (Behaviour(usage=UsageShape.ABSENT), 3.0),
    (Behaviour(usage=UsageShape.TOTAL_ONLY), 3.0),
    *((Behaviour(kind=kind, retry_after="0"), 1.0) for kind in ONCE_EACH),
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as the ledger and as the server tell it."""

    row: dict[str, Any]
    record: Record

    @property
    def in_time(self) -> bool:
        """Whether its caller waited for the end."""
        return not timed_out(self.row)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left when all callers have ended."""

    home: Home
    records: list[Record]  # of the server
    rows: list[dict[str, Any]]  # of the ledger
    calls: list[Call]
    unseen: list[dict[str, Any]]  # rows of which the server knows nothing
    longest_pause: float  # seconds for which this process was not run

    def answered(self, *, told: bool) -> list[Call]:
        """Calls that were answered in full and in time, and whose usage was told, or was not."""
        return [
            call
            for call in self.calls
            if call.in_time and call.record.answered and (call.record.reported is not None) is told
        ]


def timed_out(row: dict[str, Any]) -> bool:
    """Whether the caller had waited as long as it may."""
    return bool(row["outcome"] == ErrorType.TIMEOUT and row["latency_ms"] >= 1000 * TIMEOUT_SECONDS)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    folder = tmp_path_factory.mktemp("money")
    with scripted_server() as server, warm_parent(money_caller, folder) as parent:
        home = make_home(
            folder,
            server,
            limit_usd="1000",
            provider={"concurrency": 32, "timeout_seconds": TIMEOUT_SECONDS},
            rest_seconds=0.01,
            max_wait_seconds=0.3,
        )
        server.script([*NEVER_ENDING, Rule(mixture=MIXTURE, seed=7)])
        with longest_pause() as paused:
            done = finished([home.start(parent, str(TASKS), "32", str(seed)) for seed in range(PROCESSES)])
        assert sum(sum(ended.values()) for ended in done) == PROCESSES * TASKS
        assert {"answered", "content_refused", "context_too_long"} <= {end for ended in done for end in ended}
        records, rows = server.records(), ledger_rows(home)
        yield Outcome(home, records, rows, *paired(rows, records), paused())


@contextmanager
def longest_pause() -> Iterator[Callable[[], float]]:
    """Seconds for which a thread that wakes all the time did not: how long the machine stood still."""
    pauses, ended = [0.0], threading.Event()

    def watch() -> None:
        last = time.monotonic()
        while not ended.wait(0.05):
            now = time.monotonic()
            pauses.append(now - last)
            last = now

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: max(pauses)
    finally:
        ended.set()
        thread.join()


def paired(rows: list[dict[str, Any]], records: list[Record]) -> tuple[list[Call], list[dict[str, Any]]]:
    """The calls, and the rows without a record. A task has a document of its own, and makes one call at a time."""
    seen_of = defaultdict(list)
    for record in records:
        task = re.search(r"w(\d+-\d+)-", str(record.body))
        assert task is not None, record
        seen_of[f"harbour/{task[1]}.txt"].append(record)
    calls, unseen = [], []
    for row in sorted(rows, key=lambda row: (row["reserved_ms"], row["attempt"])):
        seen = seen_of[row["document_id"]]
        never_sent = row["outcome"] in (ErrorType.CONNECTION, ErrorType.TIMEOUT) and row["cost_nanousd"] == 0
        if seen and not never_sent:
            calls.append(Call(row, seen.pop(0)))
        else:
            unseen.append(row)
    assert [record for seen in seen_of.values() for record in seen] == []  # calls without a row would be free
    return calls, unseen


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


def test_every_call_the_server_saw_is_one_row_and_every_kind_of_failure_was_met(outcome: Outcome) -> None:
    assert len(outcome.records) >= PROCESSES * TASKS
    assert {record.kind for record in outcome.records} == set(Kind)
    assert [row for row in outcome.rows if row["status"] == "reserved"] == []
    assert outcome.unseen == [] or outcome.longest_pause > 1  # seconds: then the machine stood still
    for row in outcome.unseen:
        if row["cost_nanousd"] == 0:
            assert row["outcome"] in (ErrorType.CONNECTION, ErrorType.TIMEOUT)
        else:  # given up before the server took it
            assert timed_out(row) and row["cost_nanousd"] == row["reserved_nanousd"]


def test_told_usage_is_accounted_to_the_token_and_the_nano_dollar(outcome: Outcome) -> None:
    unusable = [call for call in outcome.calls if call.in_time and call.record.kind == Kind.EMPTY_CHOICES]
    told = outcome.answered(told=True) + unusable  # an answer without choices says what it used, too
    assert told != unusable != []
    for call in told:
        tokens, row = call.record.reported, call.row
        assert tokens is not None
        assert (row["status"], row["estimated"]) == ("settled", 0)
        assert row["input_tokens"] == tokens.input and row["cached_tokens"] == tokens.cached
        assert row["output_tokens"] == tokens.output and row["reasoning_tokens"] == tokens.reasoning
        assert row["cost_nanousd"] == price_of(tokens)


def test_what_was_not_told_is_estimated_and_marked(outcome: Outcome) -> None:
    silent = [call.row for call in outcome.answered(told=False)]
    estimated = [row for row in outcome.rows if row["estimated"]]

    assert len(estimated) == len(silent) > 0
    assert all(row["estimated"] and row["cost_nanousd"] > 0 and row["status"] == "settled" for row in silent)


def test_what_may_have_been_billed_costs_its_reservation_and_the_rest_nothing(outcome: Outcome) -> None:
    broken = [call.row for call in outcome.calls if call.record.kind in UNKNOWN or not call.in_time]
    unknown = [row for row in outcome.rows if row["status"] == "unknown" and row not in outcome.unseen]

    assert len(unknown) == len(broken) > 0
    assert all(row["status"] == "unknown" for row in broken)
    assert all(row["cost_nanousd"] == row["reserved_nanousd"] > 0 for row in broken)
    never_ending = [call for call in outcome.calls if call.record.kind in (Kind.HANG, Kind.TRICKLE)]
    assert [call for call in never_ending if call.in_time] == []
    refused = [
        call.row
        for call in outcome.calls
        if call.in_time
        and not call.record.answered
        and call.record.reported is None
        and call.record.kind not in UNKNOWN
    ]
    assert refused != []
    assert {(row["status"], row["cost_nanousd"], row["input_tokens"]) for row in refused} == {("settled", 0, 0)}


def test_rows_account_roll_ups_and_the_command_agree_to_the_nano_dollar(outcome: Outcome) -> None:
    total = sum(row["cost_nanousd"] for row in outcome.rows)
    costs = outcome.home.aegis("costs")
    (account,) = [one for one in costs["accounts"] if one["provider"] == PAID]
    totals = LedgerReports(open_database(f"sqlite:///{outcome.home.database}")).totals(account["month"])

    assert costs["total_nanousd"] == sum(row["cost_nanousd"] for row in costs["rows"]) == total
    assert (account["spent_nanousd"], account["reserved_nanousd"]) == (total, 0)
    assert (totals.rows, totals.accounts, totals.rollups) == (total, total, total)
    assert sum(row["calls"] for row in costs["rows"]) == len(outcome.rows)
    assert all(row["cost_nanousd"] <= row["reserved_nanousd"] for row in outcome.rows)


def test_no_prompt_and_no_key_stand_in_the_home(outcome: Outcome) -> None:
    held = b"".join(file.read_bytes() for file in outcome.home.database.parent.rglob("*") if file.is_file())
    assert b"harbour/1-1.txt" in held
    assert SECRET.encode() not in held
    assert b"sk-secret-of-the-test" not in held
