"""`aegis costs` and `aegis budget` as users and programs meet them, over a real ledger."""

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.cli.budgets import amount
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.accounts import Reservation, Settlement
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.llm import AskedFor, TaskType
from aegis_dagster.domain.money import NanoUsd, month_of
from aegis_dagster.domain.prices import Usage
from aegis_dagster.domain.stages import Stage, put_off
from aegis_dagster.errors import BudgetExhausted, ConfigurationError, ModelsUnavailable
from aegis_dagster.settings import Settings
from aegis_dagster.stages.sync import update_listing
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.cli_process import Aegis
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.llm_server import Behaviour, LLMServer, Rule, scripted_server
from aegis_dagster_tests.support.projects import write_documents

MONTH = month_of(SystemClock().now())
USD = 10**9
KEYS = ("provider", "model", "task_type", "stage", "collection")
COLUMNS = (
    *KEYS,
    "calls",
    "failed_calls",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cache_write_tokens",
    "estimated_calls",
    "cost_nanousd",
)


def asked(collection: str, document: str, stage: Stage) -> AskedFor:
    return AskedFor(collection, document, stage)


def book(project: Project, *calls: tuple[Reservation, Settlement | None]) -> None:
    """Put calls into the ledger, through the ledger."""

    async def run() -> None:
        ledger = project.models("test").ledger
        for reservation, settlement in calls:
            assert await ledger.reserve(reservation) is None
            if settlement is not None:
                await ledger.settle(settlement)
        await ledger.aclose()

    asyncio.run(run())


def call(
    number: int,
    provider: str,
    model: str,
    asked_for: AskedFor,
    *,
    usage: Usage | None = None,
    cost: int | None = 0,
    outcome: str = "ok",
    reason: str = "",
    amount: int = USD,
    task_type: TaskType = TaskType.ENTITY_EXTRACTION,
    seconds_to_live: float = 600,
) -> tuple[Reservation, Settlement]:
    """A reserved call and its end."""
    name = f"call-{number}"
    reservation = Reservation(
        name, provider, model, task_type, asked_for, "run", 1, NanoUsd(amount), "v", seconds_to_live
    )
    settled = None if cost is None else NanoUsd(cost)
    return reservation, Settlement(name, outcome, usage, settled, 0.2, reason)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose ledger has calls of this month, one under way, one that nobody ended, and one of another month."""
    home = tmp_path_factory.mktemp("costs") / "home"
    clock = SetClock()
    project = Project(Settings(home=home), clock)
    lease = asked("legal", "legal/lease.pdf", Stage.GRAPH)
    note = asked("legal", "legal/note.txt", Stage.GRAPH)
    chart = asked("reports", "reports/chart.pdf", Stage.ENRICH)
    clock.time = SystemClock().now() - timedelta(days=40)
    book(project, call(0, "openai", "gpt-4.1", lease, usage=Usage(7, 0, 3), cost=77))
    clock.time = SystemClock().now()
    book(
        project,
        call(1, "openai", "gpt-4.1", lease, usage=Usage(1000, 200, 50, 20), cost=2_400_000),
        call(2, "openai", "gpt-4.1", note, usage=Usage(500, 0, 10, estimated=True), cost=1_080_000),
        call(3, "openai", "gpt-4.1", note, cost=0, outcome="rate_limit", reason="HTTP 429. Slow [down], wait 3 s."),
        call(4, "dashscope", "qwen3-vl-flash", chart, cost=None, outcome="timeout", amount=30_000_000),
        call(5, "local", "qwen3:8b", note, usage=Usage(300, 0, 40), cost=0, amount=0),
        (call(6, "dashscope", "qwen3-vl-flash", chart, amount=5_000_000)[0], None),  # under way
    )
    book(project, (call(7, "dashscope", "qwen3-vl-flash", chart, amount=7_000_000, seconds_to_live=0.001)[0], None))
    return home


@pytest.fixture
def aegis(home: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    return InProcess(home, monkeypatch)


def test_json_has_the_agreed_rows_their_sum_and_the_accounts(aegis: InProcess) -> None:
    values = aegis.json("costs")
    assert set(values) == {"rows", "total_nanousd", "accounts"}
    assert all(tuple(row) == COLUMNS for row in values["rows"])
    rows = {tuple(row[key] for key in KEYS): [row[name] for name in COLUMNS[5:]] for row in values["rows"]}
    assert rows == {
        # calls, failed, input, cached, output, reasoning, written, estimated, cost
        ("openai", "gpt-4.1", "entity_extraction", "graph", "legal"): [3, 1, 1500, 200, 60, 20, 0, 1, 3_480_000],
        ("dashscope", "qwen3-vl-flash", "entity_extraction", "enrich", "reports"): [2, 2, 0, 0, 0, 0, 0, 0, 37_000_000],
        ("local", "qwen3:8b", "entity_extraction", "graph", "legal"): [1, 0, 300, 0, 40, 0, 0, 0, 0],
    }
    assert values["total_nanousd"] == 40_480_000
    assert values["accounts"] == [
        {
            "provider": "dashscope",
            "month": MONTH,
            "limit_nanousd": 10 * USD,
            "reserved_nanousd": 5_000_000,
            "spent_nanousd": 37_000_000,
        },
        {"provider": "local", "month": MONTH, "limit_nanousd": None, "reserved_nanousd": 0, "spent_nanousd": 0},
        {
            "provider": "openai",
            "month": MONTH,
            "limit_nanousd": 20 * USD,
            "reserved_nanousd": 0,
            "spent_nanousd": 3_480_000,
        },
    ]


def test_a_month_and_all_months_add_up_to_what_was_spent_in_them(aegis: InProcess) -> None:
    before = month_of(SystemClock().now() - timedelta(days=40))
    assert aegis.json("costs", "--month", before)["total_nanousd"] == 77
    everything = aegis.json("costs", "--all")
    assert everything["total_nanousd"] == 40_480_077
    assert sum(account["spent_nanousd"] for account in everything["accounts"]) == 40_480_077


def test_by_document_or_day_the_rows_get_these_keys_and_the_same_sum(aegis: InProcess) -> None:
    values = aegis.json("costs", "--by", "document,day")
    assert tuple(values["rows"][0])[:7] == (*KEYS, "document", "day")
    assert values["total_nanousd"] == 40_480_000
    assert {row["document"]: row["cost_nanousd"] for row in values["rows"] if row["provider"] == "openai"} == {
        "legal/lease.pdf": 2_400_000,
        "legal/note.txt": 1_080_000,
    }
    assert {row["day"][:7] for row in values["rows"]} == {MONTH}


def test_csv_has_the_same_rows(aegis: InProcess) -> None:
    done = aegis("costs", "--csv", "--by", "document")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    wanted = aegis.json("costs", "--by", "document")["rows"]
    assert rows == [{key: str(value) for key, value in row.items()} for row in wanted]


def test_people_see_usd_and_what_somebody_should_look_into(aegis: InProcess) -> None:
    shown = aegis("costs", "--by", "collection").stdout
    assert "legal" in shown and "0.00348" in shown and "0.0405" in shown  # the sum, four decimals
    assert "2 calls ended without an answer" in shown
    assert "1 calls have estimated tokens" in shown
    assert "dashscope" in shown and "10.00" in shown and "no limit" in shown
    assert "3 calls brought no answer; `aegis costs --failed` says why." in shown


def test_why_calls_failed_is_told_the_latest_first(aegis: InProcess) -> None:
    values = aegis.json("costs", "--failed")
    assert set(values) == {"failed"}
    rows = {row["outcome"]: row for row in values["failed"]}
    assert list(rows) == ["lost", "timeout", "rate_limit"]
    limited = rows["rate_limit"]
    assert (limited["provider"], limited["model"], limited["calls"], limited["cost_nanousd"]) == (
        *("openai", "gpt-4.1"),
        *(1, 0),
    )
    assert (limited["reason"], limited["document"]) == ("HTTP 429. Slow [down], wait 3 s.", "legal/note.txt")
    assert rows["timeout"]["cost_nanousd"] == 30_000_000
    shown = aegis("costs", "--failed").stdout
    assert "openai/gpt-4.1 entity_extraction: rate_limit, 1 calls" in shown
    assert "HTTP 429. Slow [down], wait 3 s." in shown and "no reason is known" in shown
    table = list(csv.DictReader(io.StringIO(aegis("costs", "--failed", "--csv").stdout)))
    assert table == [{key: str(value) for key, value in row.items()} for row in values["failed"]]


def test_reasons_that_differ_in_numbers_are_one_with_the_last_of_them(fresh: InProcess, tmp_path: Path) -> None:
    project = Project(Settings(home=tmp_path / "home"))
    note = asked("legal", "legal/note.txt", Stage.GRAPH)
    for number in (1, 2):
        reason = f"HTTP 429. Wait {number} s."
        book(project, call(number, "openai", "gpt-4.1", note, cost=0, outcome="rate_limit", reason=reason))
    [row] = fresh.json("costs", "--failed", "--all")["failed"]
    assert (row["calls"], row["reason"]) == (2, "HTTP 429. Wait 2 s.")
    assert "No model call failed in 2001-01." in fresh("costs", "--failed", "--month", "2001-01").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "customer"], "provider, model, task_type, stage, collection, document, day"),
        (["--month", "2026-13"], "2026-11"),
        (["--month", "november"], "2026-11"),
        (["--month", "2026-11", "--all"], "one of them"),
        (["--csv"], "one of them"),
        (["--failed", "--by", "day"], "one of them"),
    ],
)
def test_what_costs_cannot_show_is_refused_with_what_it_can(aegis: InProcess, arguments: list[str], said: str) -> None:
    assert said in aegis.refusal("costs", *arguments)["remedy"]


def test_nothing_spent_is_said_with_how_to_configure_a_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = InProcess(tmp_path / "home", monkeypatch)
    shown = empty("costs").stdout
    assert f"No model was called in {MONTH}." in shown
    assert "OPENAI_API_KEY" in shown and "COSTS.md" in shown
    assert empty.json("costs")["total_nanousd"] == 0
    assert empty("costs", "--csv").stdout.splitlines() == [",".join(COLUMNS)]


def test_the_budget_shows_what_is_left_and_who_set_the_limit(aegis: InProcess) -> None:
    values = aegis.json("budget")
    assert (values["month"], values["deferred"]) == (MONTH, 0)
    by_name = {account["name"]: account for account in values["accounts"]}
    assert by_name["dashscope"] == {
        "kind": "provider",
        "name": "dashscope",
        "limit_nanousd": 10 * USD,
        "spent_nanousd": 37_000_000,
        "reserved_nanousd": 5_000_000,
        "remaining_nanousd": 10 * USD - 42_000_000,
        "set_by": "aegis.yaml",
    }
    assert by_name["local"]["remaining_nanousd"] is None


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    return InProcess(tmp_path / "home", monkeypatch)


def limit_of(values: dict[str, Any], name: str) -> tuple[int | None, str]:
    (account,) = [each for each in values["accounts"] if each["name"] == name]
    return account["limit_nanousd"], account["set_by"]


def test_a_limit_is_set_raised_and_follows_the_settings_again(fresh: InProcess) -> None:
    assert limit_of(fresh.json("budget", "set", "openai", "0.1"), "openai") == (100_000_000, "operator")
    assert limit_of(fresh.json("budget", "raise", "openai", "0.000000002"), "openai") == (100_000_002, "operator")
    assert limit_of(fresh.json("budget"), "openai") == (100_000_002, "operator")
    assert limit_of(fresh.json("budget"), "dashscope") == (10 * USD, "aegis.yaml")
    assert limit_of(fresh.json("budget", "reset", "openai"), "openai") == (20 * USD, "aegis.yaml")


def test_a_collection_has_a_limit_of_its_own(fresh: InProcess, tmp_path: Path) -> None:
    (tmp_path / "aegis.yaml").write_text("llm: {budgets: {collections: {legal: 2.5}}}\n")
    assert limit_of(fresh.json("budget"), "legal") == (2_500_000_000, "aegis.yaml")
    raised = fresh.json("budget", "raise", "--collection", "legal", "1")
    assert limit_of(raised, "legal") == (3_500_000_000, "operator")
    assert [account["kind"] for account in raised["accounts"]] == ["provider"] * 3 + ["collection"]
    error = fresh.refusal("budget", "set", "legal", "1")
    assert "dashscope, local, openai" in error["remedy"] and "--collection" in error["remedy"]
    assert "legal" in fresh.refusal("budget", "set", "--collection", "nobody", "1")["remedy"]


def test_what_has_no_limit_cannot_be_raised(fresh: InProcess) -> None:
    error = fresh.refusal("budget", "raise", "local", "5")
    assert "no limit" in error["message"] and "aegis budget set local" in error["remedy"]


@pytest.mark.parametrize("usd", ["-5", "ten", "", "nan", "inf", "12,50", "1e10", "0.0000000001"])
@pytest.mark.parametrize("command", ["set", "raise"])
def test_what_is_no_amount_is_refused_and_changes_nothing(fresh: InProcess, command: str, usd: str) -> None:
    error = fresh.refusal("budget", command, "openai", usd)
    assert "USD" in error["message"] and error["remedy"]
    assert limit_of(fresh.json("budget"), "openai") == (20 * USD, "aegis.yaml")


def test_amounts_are_exact() -> None:
    assert [amount(usd) for usd in ("0.1", "0.000000001", "1000000000", "2.50")] == [
        10**8,
        1,
        10**18,
        2_500_000_000,
    ]
    with pytest.raises(ConfigurationError):
        amount("0.30000000000000004")


def test_who_waits_for_money_is_counted_and_what_to_do_is_said(fresh: InProcess, tmp_path: Path) -> None:
    project = Project(Settings(home=tmp_path / "home", root=tmp_path / "root"))
    write_documents(tmp_path / "root", ["a.txt", "b.txt", "c.txt"])
    update_listing(project.source, project.documents, project.guard())
    put_off_at(project, Stage.ENRICH, "a.txt", BudgetExhausted("No money.", remedy="wait."))
    put_off_at(project, Stage.GRAPH, "b.txt", BudgetExhausted("No money.", remedy="wait."))
    put_off_at(project, Stage.GRAPH, "c.txt", ModelsUnavailable("Nobody answers.", remedy="wait."))
    assert fresh.json("budget")["deferred"] == 2  # the third does not wait for money
    assert "2 documents are deferred: run `aegis ingest`." in fresh("budget").stdout
    book(project, call(1, "openai", "gpt-4.1", asked("default", "a.txt", Stage.ENRICH), cost=USD, amount=USD))
    shown = fresh("budget", "set", "openai", "1").stdout
    assert "2 documents are deferred, openai used up: `aegis budget raise openai USD`" in shown


def put_off_at(project: Project, stage: Stage, name: str, error: BudgetExhausted | ModelsUnavailable) -> None:
    document = project.documents.get([DocumentId(name)])[0]
    assert project.catalog.claim(stage, {document.id: (document.revision, "fingerprint")}) == [document.id]
    project.catalog.finish(stage, {document.id: ("fingerprint", put_off(error))})


@pytest.fixture(scope="module")
def server() -> Iterator[LLMServer]:
    with scripted_server() as server:
        yield server


def test_an_ingestion_costs_what_the_provider_counted_and_the_forecast_follows_it(
    server: LLMServer, tmp_path: Path
) -> None:
    server.reset()
    write_documents(tmp_path / "root", ["letters/one.txt", "letters/two.txt"], paragraphs=1)
    aegis = Aegis(tmp_path / "home", tmp_path / "root")
    (tmp_path / "aegis.yaml").write_text(f"llm: {{providers: {{openai: {{base_url: '{server.v1}'}}}}}}\n")
    before = aegis("forecast", "--json", OPENAI_API_KEY="sk-scripted").json
    assert [(row["stage"], row["model"], row["basis"]) for row in before["rows"]] == [
        ("graph", "gpt-4.1-mini", "guess")
    ]
    assert server.counts()["calls"] == 0  # a forecast asks nothing
    done = aegis("ingest", "--json", OPENAI_API_KEY="sk-scripted")
    assert done.code == 0, done.stderr
    chunks = done.json["work"]["chunks_extracted"]
    costs = aegis("costs", "--json", OPENAI_API_KEY="sk-scripted").json
    counted = server.counts()
    (row,) = costs["rows"]
    assert row["calls"] == counted["calls"] == chunks > 0
    assert row["input_tokens"] == counted["billed"]["input"]
    assert row["output_tokens"] == counted["billed"]["output"]
    wanted = sum(
        record.billed.input * 400 + record.billed.output * 1600 for record in server.records() if record.billed
    )
    assert costs["total_nanousd"] == row["cost_nanousd"] == wanted  # gpt-4.1-mini: 0.40 and 1.60 USD a million
    assert aegis("forecast", "--json", OPENAI_API_KEY="sk-scripted").json["calls"] == 0
    assert "sk-scripted" not in done.stdout + done.stderr


def test_why_a_provider_refuses_reaches_the_person_without_the_text_and_the_key(
    server: LLMServer, tmp_path: Path
) -> None:
    server.reset()
    write_documents(tmp_path / "root", ["letters/one.txt"], paragraphs=1)
    text = (tmp_path / "root" / "letters" / "one.txt").read_text()
    told = {"error": {"message": f"billing is closed for sk-scripted-1 while reading {text[:300]}", "code": "x"}}
    server.script([Rule(Behaviour(raw=json.dumps(told).encode().decode("latin-1"), status=401))])
    (tmp_path / "aegis.yaml").write_text(f"llm: {{providers: {{openai: {{base_url: '{server.v1}'}}}}}}\n")
    aegis = Aegis(tmp_path / "home", tmp_path / "root")
    aegis("ingest", "--json", OPENAI_API_KEY="sk-scripted-1")
    waiting = aegis("status", "--json", OPENAI_API_KEY="sk-scripted-1").json["waiting"]
    assert [one["documents"] for one in waiting] == [1]
    assert "openai said: “billing is closed for […] while reading […]" in waiting[0]["why"]
    failed = aegis("costs", "--failed", "--json", OPENAI_API_KEY="sk-scripted-1").json["failed"]
    assert [row["reason"][:40] for row in failed] == ["HTTP 401 (x). billing is closed for […] "]
    held = (tmp_path / "home" / "aegis.db").read_bytes()
    assert b"sk-scripted-1" not in held
    assert text[:60].encode() not in json.dumps([waiting, failed], ensure_ascii=False).encode()


def test_a_model_that_never_tells_of_its_cache_is_named(fresh: InProcess, tmp_path: Path) -> None:
    project = Project(Settings(home=tmp_path / "home"))
    note = asked("legal", "legal/note.txt", Stage.GRAPH)
    long, short = Usage(2000, 0, 50), Usage(900, 0, 50)
    calls = [call(n, "openai", "gpt-4.1", note, usage=long, cost=4_400_000) for n in range(20)]
    calls += [call(100 + n, "openai", "gpt-4.1-mini", note, usage=short, cost=440_000) for n in range(20)]
    book(project, *calls[:-21])
    said = "openai/gpt-4.1 has a rate of its own for cached input, and no call reported any"

    def told() -> str:
        return " ".join(fresh("costs").stdout.split())

    assert said not in told()
    book(project, *calls[-21:])
    assert said in told() and "openai/gpt-4.1-mini has" not in told()
    cached = Usage(2000, 1024, 50)
    book(project, call(300, "openai", "gpt-4.1", note, usage=cached, cost=4_000_000))
    assert said not in told()
