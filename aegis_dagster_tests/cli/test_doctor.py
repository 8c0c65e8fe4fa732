"""`aegis doctor` on models: what is configured, what is chosen, and what one token cost. Never a key."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.cli.doctor_models import embedding_finding
from aegis_dagster.cli.ingestion import Ingestion
from aegis_dagster.composition.languages import language_warning
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.stages import Stage
from aegis_dagster.progress import LoggedProgress
from aegis_dagster.settings import load_settings
from aegis_dagster.stages.context import StageReport
from aegis_dagster.stages.sync import update_listing
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, LLMServer, Rule, scripted_server
from aegis_dagster_tests.support.projects import bring_up, make_project, write_documents

KEY = "sk-nobody-may-see-this"
MINE = "{mine: {base_url: 'http://127.0.0.1:9/v1', models: {m: {tasks: [summary]}}}}"


@pytest.fixture(scope="module")
def server() -> Iterator[LLMServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture
def aegis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    monkeypatch.setenv("AEGIS_ROOT", str(tmp_path))
    return InProcess(tmp_path / "home", monkeypatch)


def findings(aegis: InProcess, *arguments: str) -> dict[str, dict[str, Any]]:
    """By component, whether or not something needs attention."""
    done = aegis("doctor", "--json", *arguments)
    assert KEY not in done.stdout + done.stderr
    found = {item["component"]: item for item in json.loads(done.stdout)["findings"]}
    assert done.exit_code == (0 if all(item["ok"] for item in found.values()) else 2)
    return found


def write_settings(tmp_path: Path, text: str) -> None:
    (tmp_path / "aegis.yaml").write_text(text, "utf-8")


def test_doctor_tells_which_old_office_files_are_read_and_what_reads_the_others(
    aegis: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program"
    program.mkdir()
    (program / "soffice").write_text("#!/bin/sh\n")
    (program / "soffice").chmod(0o755)
    (program / "bootstraprc").write_text("ProductKey=LibreOffice 24.8\n")
    (program / "libswlo.so").touch()
    monkeypatch.setenv("PATH", str(program))
    found = findings(aegis)["old office files"]
    assert found["state"] == "LibreOffice 24.8 converts doc, rtf; ppt, xls, xlsb are refused"
    packages = "libreoffice-calc-nogui libreoffice-impress-nogui"
    assert found["move_up"] == f"To read them: apt-get install --no-install-recommends {packages}"


@pytest.mark.parametrize(
    ("settings", "ok", "state", "helps"),
    [
        ("device: auto", True, "cpu: ", "aegis_dagster[gpu]"),
        ("device: cpu", True, "cpu", "aegis_dagster[gpu]"),
        ("device: cuda:9", False, "The device is to be cuda:9, but ", "AEGIS_DEVICE"),
        ("{device: cpu, embed: {precision: fp16}}", False, "embed.precision is fp16, which only a card", "fp32"),
    ],
)
def test_doctor_tells_where_models_compute_and_why_not_on_a_card(
    aegis: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str, ok: bool, state: str, helps: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # Python's way to say: not installed
    monkeypatch.chdir(tmp_path)
    write_settings(tmp_path, settings)
    found = findings(aegis)["device"]
    assert found["ok"] is ok and str(found["state"]).startswith(state) and helps in str(found["move_up"])


def test_a_provider_is_shown_with_address_key_models_prices_and_budget(
    aegis: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    found = findings(aegis)
    state = found["provider openai"]["state"]
    assert found["provider openai"]["ok"]
    assert state.startswith("https://api.openai.com/v1; key in OPENAI_API_KEY; image_description: gpt-4.1-mini")
    assert state.endswith("prices known; 20.00 of 20.00 USD left this month")
    assert "provider dashscope" not in found and "providers" not in found
    assert found["picture descriptions"] == {
        "component": "picture descriptions",
        "ok": True,
        "state": "openai/gpt-4.1-mini, then openai/gpt-4.1",
        "move_up": "",
    }
    assert found["graph extraction"]["state"] == "openai/gpt-4.1-mini, then openai/gpt-4.1"
    assert "MiniLM stands in" in found["embedding"]["move_up"]


def test_without_providers_the_stand_ins_say_how_to_move_up(aegis: InProcess) -> None:
    found = findings(aegis)
    assert "OLLAMA_HOST" in found["providers"]["move_up"]
    for component in ("picture descriptions", "graph extraction"):
        assert "OPENAI_API_KEY" in found[component]["move_up"] and "COSTS.md" in found[component]["move_up"]
    assert "AEGIS_DATABASE=postgresql" in found["database"]["move_up"]
    assert not any("later release" in item["move_up"] for item in found.values())


def test_confidential_collections_are_shown_where_they_differ(
    aegis: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    write_settings(tmp_path, "collections: {contracts: {local_only: true}}\n")
    found = findings(aegis)
    assert found["picture descriptions"]["state"].endswith(
        "; confidential collections (contracts): the text in a picture, by OCR"
    )
    assert "OCR stands in" in found["picture descriptions"]["move_up"]


@pytest.mark.parametrize(
    ("settings", "component", "said"),
    [
        ("llm: {providers: {mine: {enabled: true}}}", "provider mine", "no address"),
        ("llm: {tiers: [mine], providers: {mine: {base_url: 'http://127.0.0.1:9/v1'}}}", "provider mine", "no models"),
        (
            f"llm: {{tiers: [mine], providers: {MINE}, budgets: {{providers: {{mine: 1}}}}}}",
            "provider mine",
            "no price is known for m",
        ),
        (
            f"llm: {{tiers: [mine], providers: {MINE}, prices: {{mine/m: {{input: 1, output: 1}}}}}}",
            "provider mine",
            "no budget",
        ),
        (
            f"llm: {{tiers: [mine], providers: {MINE}, budgets: {{providers: {{mine: 1}}}}, "
            "prices: {mine/m: {input: 0.0000004, output: 0.4}}}",
            "prices",
            "llm.prices.mine/m: 0.0000004 USD per million input tokens is less than any known model costs.",
        ),
        ("enrich: {describer: model}", "picture descriptions", "no configured provider"),
        ("embed: {model: openai/nothing}", "embedding", "openai/nothing"),
    ],
)
def test_what_is_half_configured_needs_attention(
    aegis: InProcess, tmp_path: Path, settings: str, component: str, said: str
) -> None:
    write_settings(tmp_path, settings)
    found = findings(aegis)[component]
    assert not found["ok"]
    assert said in found["state"] and found["move_up"]


@pytest.mark.parametrize(
    ("settings", "ok", "told"),
    [
        ("collections: {Contracts: {local_only: true}}", True, ""),
        ("collections: {letters: {local_only: true}}", True, "No document is in letters"),
        ("collections: {contracts: {local_only: true}}", False, "exactly like the folder"),
        ("llm: {budgets: {collections: {CONTRACTS: 5}}}", False, "exactly like the folder"),
    ],
)
def test_settings_for_a_collection_that_is_none_are_told(
    aegis: InProcess, tmp_path: Path, settings: str, ok: bool, told: str
) -> None:
    (tmp_path / "Contracts").mkdir()
    (tmp_path / "Contracts" / "lease.txt").write_text("The lease ends in May.\n", "utf-8")
    write_settings(tmp_path, settings)
    project = Project(load_settings())
    update_listing(project.source, project.documents, project.guard())
    found = findings(aegis)["collections"]
    assert found["ok"] is ok
    assert told in found["move_up"] if told else not found["move_up"]


def test_a_provider_outside_the_tiers_is_never_asked_and_that_is_said(aegis: InProcess, tmp_path: Path) -> None:
    write_settings(tmp_path, "llm: {providers: {mine: {base_url: 'http://127.0.0.1:9/v1'}}}")
    found = findings(aegis, "--call")
    assert found["provider mine"]["ok"] and "llm.tiers" in found["provider mine"]["move_up"]
    assert "call mine" not in found


def test_an_address_is_shown_without_the_password_in_it(
    aegis: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    write_settings(tmp_path, f"llm: {{providers: {{openai: {{base_url: 'https://me:{KEY}@proxy:8443/v1'}}}}}}")
    assert findings(aegis)["provider openai"]["state"].startswith("https://proxy:8443/v1; ")


def test_a_call_asks_for_one_token_and_shows_what_it_cost(
    aegis: InProcess, server: LLMServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.reset()
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    write_settings(tmp_path, f"llm: {{providers: {{openai: {{base_url: '{server.v1}'}}}}}}")
    found = findings(aegis, "--call")
    # "Say yes." is two words, the answer is cut after one; gpt-4.1-mini costs 0.40 and 1.60 USD a million.
    assert "gpt-4.1-mini answered in" in found["call openai"]["state"]
    assert found["call openai"]["state"].endswith("s, 2 + 1 tokens, 0.0000024 USD")
    assert found["call local"]["state"].endswith("s, 2 + 1 tokens, 0.00 USD")
    bodies = {record.model: record.body for record in server.records()}
    assert set(bodies) == {"gpt-4.1-mini", "qwen3:8b"}
    assert bodies["gpt-4.1-mini"]["max_completion_tokens"] == bodies["qwen3:8b"]["max_tokens"] == 1
    costs = aegis.json("costs")
    assert costs["total_nanousd"] == 2400
    assert {(row["provider"], row["calls"]) for row in costs["rows"]} == {("openai", 1), ("local", 1)}


def test_a_provider_that_refuses_the_key_needs_attention_and_costs_nothing(
    aegis: InProcess, server: LLMServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.reset()
    server.script([Rule(Behaviour(Kind.UNAUTHORIZED))])
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    write_settings(tmp_path, f"llm: {{providers: {{openai: {{base_url: '{server.v1}'}}}}}}")
    found = findings(aegis, "--call")
    assert found["provider openai"]["ok"] and not found["call openai"]["ok"]
    assert "auth" in found["call openai"]["state"] and "key" in found["call openai"]["move_up"]
    assert aegis.json("costs")["total_nanousd"] == 0
    assert server.counts()["calls"] == 1


def test_a_call_without_money_is_not_made(
    aegis: InProcess, server: LLMServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.reset()
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    write_settings(
        tmp_path,
        f"llm: {{providers: {{openai: {{base_url: '{server.v1}'}}}}, budgets: {{providers: {{openai: 0}}}}}}",
    )
    found = findings(aegis, "--call")
    assert "aegis budget raise openai" in found["call openai"]["move_up"]
    assert server.counts()["calls"] == 0


async def test_a_corpus_in_another_language_is_told_with_the_setting_that_helps(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    german = "Die Pumpe der zweiten Linie wird jeden Monat geprüft, und das Ergebnis wird in das Buch geschrieben. " * 3
    write_documents(project.root, ["c/english.txt"])
    for name in ("eins", "zwei", "drei", "vier", "sechs"):
        (project.root / "c" / f"{name}.txt").write_text(f"{name}. {german}", "utf-8")
    await bring_up(project, stages=(Stage.PARSE, Stage.ENRICH, Stage.CHUNK))
    finding = embedding_finding(project)
    assert not finding.ok
    assert "most of them in `de`" in finding.move_up and "embed.model" in finding.move_up
    done = Ingestion(LoggedProgress(print))
    assert done.summary(project)["warnings"] == []  # nothing was chunked in this run
    done.stage_finished(StageReport(Stage.CHUNK, work=Counter(chunked=1)))
    assert done.summary(project)["warnings"] == [finding.move_up]
    english = [document for document in project.documents.all() if document.id == "c/english.txt"]
    assert language_warning(project, english) == ""
