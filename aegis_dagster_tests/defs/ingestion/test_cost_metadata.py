"""What runs of the ingestion say of money: over real HTTP, with models that answer by a script."""

import json
from pathlib import Path

import dagster as dg
import pytest
import yaml

from aegis_dagster.cli.ingestion import failed_cost_checks
from aegis_dagster.composition.project import Project
from aegis_dagster.defs.resources import LlmResource
from aegis_dagster.domain.accounts import AccountKey, AccountKind
from aegis_dagster.domain.llm import LLMTask, Message, TaskType
from aegis_dagster.domain.money import NanoUsd, as_usd, month_of
from aegis_dagster.errors import BudgetExhausted
from aegis_dagster.settings import load_settings
from aegis_dagster_tests.support.dagster_runs import STEPS, checks, metadata, run
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, LLMServer, Rule
from aegis_dagster_tests.support.projects import write_documents
from aegis_dagster_tests.support.projects_with_models import (
    EMBEDDING,
    READING,
    SEEING,
    llm_settings,
    write_picture_document,
)


def make_project(folder: Path, patch: pytest.MonkeyPatch, server: LLMServer, *, limit_usd: str = "100") -> Project:
    """A project whose aegis.yaml names the scripted server as the paid provider `openai`, for everything."""
    settings = {"llm": llm_settings(server, limit_usd=limit_usd), "embed": {"model": f"openai/{EMBEDDING}"}}
    (folder / "aegis.yaml").write_text(yaml.safe_dump(settings))
    patch.setenv("AEGIS_CONFIG", str(folder / "aegis.yaml"))
    patch.setenv("AEGIS_HOME", str(folder / "home"))
    patch.setenv("AEGIS_ROOT", str(folder / "root"))
    patch.setenv("AEGIS_PARSE__WORKERS", "1")
    patch.setenv("AEGIS_LISTING__SETTLE_SECONDS", "0")
    (folder / "root").mkdir()
    return Project(load_settings())


def test_a_run_says_what_it_was_to_cost_and_what_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: LLMServer, instance: dg.DagsterInstance
) -> None:
    project = make_project(tmp_path, monkeypatch, server)
    write_documents(project.root, ["c/a.txt", "c/b.txt"])
    write_picture_document(project.root / "c" / "report.docx", pictures=2)
    server.script([Rule(Behaviour(Kind.REFUSED), model=SEEING, times=1), Rule()])
    result = run(instance)
    assert result.success
    counted = server.counts()["models"]
    spent = 0
    for asset, model in (("enriched_images", SEEING), ("embeddings", EMBEDDING), ("knowledge_graph", READING)):
        said, told = metadata(result, asset), counted[model]
        tokens = (told["billed"]["input"], told["billed"]["output"])
        assert (said[f"tokens_input/openai/{model}"], said[f"tokens_output/openai/{model}"]) == tokens
        assert said[f"calls/openai/{model}"] == said["calls"] == told["calls"] > 0
        cost = tokens[0] * 1_000 + tokens[1] * 2_000  # nano-USD a token
        assert said["cost_usd"] == said["cost_usd/openai"] == float(as_usd(cost))
        assert f"| openai | {model} |" in said["model_calls"]
        assert model in said["chosen"]
        assert said["forecast_calls"] == told["calls"] and said["forecast_usd"] > 0
        spent += cost
    assert project.ledger_reports.totals(month_of(project.clock.now())).rows == spent
    (used,) = project.ledger_reports.usage((), run_id=result.run_id)
    assert used.cost == spent
    before = metadata(result, "parsed_documents")
    assert before["forecast_usd"] > 0 and before["cost_usd"] == before["calls"] == 0
    assert stages(before["forecast_and_actual"]) == ["enrich", "embed", "graph"]
    assert stages(metadata(result, "embeddings")["forecast_and_actual"]) == ["enrich", "embed", "graph"]

    check = checks(result)["pictures_described_by_model"]
    assert not check.passed and check.severity is dg.AssetCheckSeverity.WARN
    assert check.metadata["pictures_fallback"].value == 1
    assert "- c/report.docx: 1 pictures" in str(check.metadata["documents"].value)
    asked = len(server.records())
    again = run(instance, force_from="parse")
    assert checks(again)["pictures_described_by_model"].passed
    assert metadata(again, "enriched_images")["calls"] == 1  # only the picture that OCR stood in for
    assert [record.model for record in server.records()[asked:]].count(SEEING) == 1


def stages(table: str) -> list[str]:
    """The first column of a forecast table."""
    return [line.split(" | ")[0].removeprefix("| ") for line in table.split("\n")[2:]]


def test_documents_that_wait_for_money_are_shown_until_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: LLMServer, instance: dg.DagsterInstance
) -> None:
    project = make_project(tmp_path, monkeypatch, server, limit_usd="0.004")  # embeds, and reads nothing
    write_documents(project.root, ["c/a.txt", "c/b.txt"])
    began = project.clock.now()
    result = run(instance)
    assert result.success
    shown = [value for step in STEPS for key, value in metadata(result, step).items() if key != "preview"]
    everything = json.dumps(shown, default=str) + str(list(checks(result).values()))
    for text in ("Priya", "Kestrel", "lighthouse", "ferry", "was inspected", "---Role---"):
        assert text not in everything
    said = metadata(result, "knowledge_graph")
    assert (said["documents_deferred"], said["documents_done"], said["calls"]) == (2, 0, 0)
    (reason, *_) = said["deferred_because"]
    assert "Too little money is left for provider openai" in reason and "`aegis budget raise openai USD`" in reason
    told = failed_cost_checks(project, began)
    assert [line.split(": ")[:2] for line in told] == [["error", "openai_under_limit"]]
    assert "2 documents wait for money: `aegis budget raise openai USD`" in told[0]

    key = AccountKey(AccountKind.PROVIDER, "openai", month_of(project.clock.now()))
    project.choices.ledger.set_limit(key, NanoUsd(100 * 10**9))
    result = run(instance)
    assert metadata(result, "knowledge_graph")["documents_done"] == 2
    assert metadata(result, "knowledge_graph")["documents_deferred"] == 0
    assert failed_cost_checks(project, began) == []


def test_chunks_that_no_model_could_read_warn_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: LLMServer, instance: dg.DagsterInstance
) -> None:
    project = make_project(tmp_path, monkeypatch, server)
    write_documents(project.root, ["c/a.txt"], paragraphs=30)
    server.script([Rule(Behaviour(Kind.REFUSED), model=READING, times=1), Rule()])
    check = checks(run(instance))["chunks_read"]
    assert not check.passed and check.severity is dg.AssetCheckSeverity.WARN
    assert check.metadata["chunks_unread"].value == check.metadata["unread/content_refused"].value == 1
    assert "- c/a.txt: 1 content_refused" in str(check.metadata["documents"].value)
    reason = "said: “The response was filtered due to the prompt triggering our content management policy.”"
    assert reason in str(check.metadata["reasons"].value)
    asked = len(server.records())
    assert checks(run(instance, force_from="parse"))["chunks_read"].passed
    assert len(server.records()) == asked + 1  # only what was missing


def test_a_price_that_is_missing_spoils_the_forecast_and_not_the_parsing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: LLMServer, instance: dg.DagsterInstance
) -> None:
    project = make_project(tmp_path, monkeypatch, server)
    settings = yaml.safe_load((tmp_path / "aegis.yaml").read_text())
    del settings["llm"]["prices"][f"openai/{READING}"]
    (tmp_path / "aegis.yaml").write_text(yaml.safe_dump(settings))
    write_documents(project.root, ["c/a.txt"])
    result = run(instance)
    parsed = metadata(result, "parsed_documents")
    assert parsed["documents_done"] == 1 and "forecast_usd" not in parsed
    assert f"No price is known for model {READING} of openai" in parsed["no_forecast"]
    assert not result.success  # extracting asks the model
    assert server.counts()["models"].get(READING) is None


@dg.asset
async def digest_of_the_week(context: dg.AssetExecutionContext, llm: LlmResource) -> dg.MaterializeResult[None]:
    """An asset of a user."""
    task = LLMTask(TaskType.SUMMARY, (Message("user", "Sum up: the tide rose."),), max_tokens=50)
    async with llm.gateway(context.run.run_id) as gateway:
        answer = await gateway.ask(task)
        refused = 0
        try:
            for _ in range(50):
                await gateway.ask(task)
        except BudgetExhausted:
            refused = 1
    return dg.MaterializeResult(metadata={"answer": answer.content, "cost": answer.cost, "refused": refused})


def test_an_asset_of_ones_own_asks_through_the_resource_and_is_accounted_to_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: LLMServer, instance: dg.DagsterInstance
) -> None:
    project = make_project(tmp_path, monkeypatch, server)
    result = dg.materialize([digest_of_the_week], instance=instance, resources={"llm": LlmResource(per_run_usd=0.0004)})
    said = metadata(result, "digest_of_the_week")
    assert said["answer"] and said["refused"] == 1
    (used,) = project.ledger_reports.usage(("provider", "model", "task_type"), run_id=result.run_id)
    assert (used.provider, used.model, used.task_type) == ("openai", READING, "summary")
    assert used.calls == server.counts()["calls"] > 1
    assert used.cost == used.calls * said["cost"] <= 400_000
