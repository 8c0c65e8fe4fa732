"""The dry run in Dagster: what would be done and what it would cost, and nothing is done."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from aegis_dagster.composition.project import Project
from aegis_dagster.settings import load_settings
from aegis_dagster_tests.support.dagster_runs import STEPS, metadata, run, tags_of, why_failed
from aegis_dagster_tests.support.llm_server import LLMServer, scripted_server
from aegis_dagster_tests.support.projects import write_documents
from aegis_dagster_tests.support.projects_with_models import EMBEDDING, llm_settings


@pytest.fixture
def server() -> Iterator[LLMServer]:
    with scripted_server() as started:
        yield started


def shown_by(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    """The metadata of the output of the only step."""
    (output,) = [event.step_output_data for event in result.all_events if event.is_successful_output]
    return {key: value.value for key, value in output.metadata.items()}


def observed(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> dict[str, dict[str, object]]:
    """The metadata of each asset's observation."""
    records = instance.get_records_for_run(result.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION).records
    seen = [record.event_log_entry.asset_observation for record in records]
    return {
        one.asset_key.to_user_string(): {key: value.value for key, value in one.metadata.items()}
        for one in seen
        if one is not None
    }


def test_a_document_over_its_limit_is_named_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: LLMServer, instance: dg.DagsterInstance
) -> None:
    settings = {"llm": llm_settings(server, limit_usd="100"), "limits": {"max_calls": 0}}
    (tmp_path / "aegis.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.setenv("AEGIS_CONFIG", str(tmp_path / "aegis.yaml"))
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AEGIS_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("AEGIS_LISTING__SETTLE_SECONDS", "0")
    write_documents(tmp_path / "root", ["c/a*b.txt"])
    shown = shown_by(run(instance, "plan_ingestion"))
    assert "\n| c/a\\*b.txt |" in str(shown["over_limit"])


def test_a_dry_run_tells_work_and_costs_that_the_run_then_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: LLMServer, instance: dg.DagsterInstance
) -> None:
    settings = {"llm": llm_settings(server, limit_usd="100"), "embed": {"model": f"openai/{EMBEDDING}"}}
    (tmp_path / "aegis.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.setenv("AEGIS_CONFIG", str(tmp_path / "aegis.yaml"))
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AEGIS_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("AEGIS_LISTING__SETTLE_SECONDS", "0")
    write_documents(tmp_path / "root", ["c/a.txt", "c/b.txt", "c/rest.md"])
    project = Project(load_settings())
    planned = run(instance, "plan_ingestion", documents=["*.txt"])
    assert planned.success
    shown = shown_by(planned)
    assert (shown["documents"], shown["documents_to_do"]) == (2, 2)
    assert "| c/a.txt | new | parse, enrich, chunk, embed, graph |" in str(shown["would_do"])
    assert "| new | 3 |" in str(shown["watched_root"])
    assert tags_of(instance, planned)["aegis/outcome"].startswith("would work on 2 of 2 documents, about 0.")
    said = observed(instance, planned)
    assert {asset: values["would_do_documents"] for asset, values in said.items()} == dict.fromkeys(STEPS, 2)
    assert {asset for asset, values in said.items() if "would_cost_usd" in values} == {"embeddings", "knowledge_graph"}
    assert project.documents.all() == [] and server.counts()["models"] == {}
    assert float(str(shown["forecast_usd"])) > 0
    assert run(instance, documents=["*.txt"], only=["parsed_documents", "enriched_images", "chunks"]).success
    exact = shown_by(run(instance, "plan_ingestion", documents=["*.txt"]))  # the texts are known now
    done = run(instance, documents=["*.txt"])
    calls = sum(int(str(metadata(done, asset)["calls"])) for asset in STEPS)
    assert calls == exact["forecast_calls"] and calls > 0
    again = shown_by(run(instance, "plan_ingestion", documents=["*.txt"]))
    assert (again["documents_to_do"], again["forecast_calls"], again["would_do"]) == (0, 0, "Nothing to do.")


def test_a_plan_for_what_is_not_there_fails_like_the_run(project: Project, instance: dg.DagsterInstance) -> None:
    write_documents(project.root, ["c/lease.txt"])
    planned = run(instance, "plan_ingestion", documents=["laese.txt"])
    assert not planned.success
    assert "Remedy: correct `documents` in the run config" in why_failed(planned)
