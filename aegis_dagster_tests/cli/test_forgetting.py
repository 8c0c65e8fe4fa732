"""`aegis cache forget`, and `aegis retry` for what was cut: asked again only when somebody says so."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import Stage
from aegis_dagster.settings.stages import EnrichSettings
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.extraction_models import answer
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, LLMServer, Rule, scripted_server
from aegis_dagster_tests.support.projects import bring_up, make_project, recorded, write_documents
from aegis_dagster_tests.support.projects_with_models import (
    READING,
    llm_settings,
    project_with_models,
    write_picture_document,
)

ONE, REPORT = DocumentId("c/one.txt"), DocumentId("c/report.docx")
TABLES = {"enrich": "picture_descriptions", "embed": "embedding_cache", "graph": "extraction_cache"}


@pytest.fixture(scope="module")
def server() -> Iterator[LLMServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, server: LLMServer) -> Path:
    """A folder with a home and a root: two documents, one picture, all asked about."""
    folder = tmp_path_factory.mktemp("forgetting")
    given: dict[str, Any] = {"llm": llm_settings(server), "embed": {"model": "openai/embeds"}}
    (folder / "aegis.yaml").write_text(yaml.safe_dump({"root": str(folder / "root"), **given}))
    project = make_project(folder, **given)
    write_documents(project.root, [ONE])
    write_picture_document(project.root / REPORT)
    cut = Behaviour(text=answer()[:-30], finish_reason="length")
    server.script([Rule(cut, model=READING, contains="in part 0."), Rule()])
    asyncio.run(bring_up(project))
    project.close()
    return folder


@pytest.fixture
def aegis(built: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    return InProcess(built / "home", monkeypatch)


def cached(folder: Path) -> dict[str, int]:
    project = Project(make_project(folder).settings)
    with project.engine.connect() as connection:
        found = {
            stage: connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one()
            for stage, table in TABLES.items()
        }
    project.close()
    return found


def test_results_are_counted_by_stage_model_and_document(built: Path, aegis: InProcess) -> None:
    before = cached(built)

    def counted(*choice: str) -> dict[str, int]:
        values = aegis.json("cache", "forget", *choice, "--dry-run")
        assert values["dry_run"] is True
        found: dict[str, int] = values["forgotten"]
        return found

    for stage in TABLES:
        assert counted("--stage", stage) == {stage: before[stage]}
    assert counted("--model", "openai/reads") == {"enrich": 0, "embed": 0, "graph": before["graph"]}
    assert counted("--model", "openai/sees") == {"enrich": before["enrich"], "embed": 0, "graph": 0}
    assert counted("--model", "openai/embeds") == {"enrich": 0, "embed": before["embed"], "graph": 0}
    assert counted("--model", "openai/reads", "--stage", "embed") == {"embed": 0}
    one, report = counted("--document", ONE), counted("--document", REPORT)
    assert (one["enrich"], report["enrich"]) == (0, 1) and one["graph"] > 0
    assert {stage: one[stage] + report[stage] for stage in TABLES} == before
    assert cached(built) == before


@pytest.mark.parametrize(
    ("stage", "lost", "file"), [("parse", "enrich", "document.json"), ("chunk", "graph", "chunks.json*")]
)
def test_a_damaged_result_costs_the_other_results_nothing(
    built: Path, aegis: InProcess, stage: str, lost: str, file: str
) -> None:
    whole = aegis.json("cache", "forget", "--document", REPORT, "--dry-run")["forgotten"]
    project = Project(make_project(built).settings)
    folder = project.artifacts.path(Stage(stage), recorded(project)[REPORT][Stage(stage)].fingerprint)
    project.close()
    (damaged,) = folder.glob(file)
    content = damaged.read_bytes()
    damaged.write_text("{")
    try:
        done = aegis("cache", "forget", "--document", REPORT, "--dry-run", "--json")
    finally:
        damaged.write_bytes(content)
    assert done.exit_code == 0
    assert whole[lost] > 0 and json.loads(done.stdout)["forgotten"][lost] == 0
    assert stage == "chunk" or json.loads(done.stdout)["forgotten"] == whole | {lost: 0}
    assert "of a document are not forgotten" in done.stderr and "aegis audit --repair" in done.stderr


def test_what_is_not_chosen_is_refused(aegis: InProcess) -> None:
    assert "--stage" in aegis.refusal("cache", "forget")["remedy"]
    assert aegis.refusal("cache", "forget", "--document", "none.txt")["type"] == "UnknownDocument"
    assert aegis("cache", "forget", "--stage", "parse").exit_code == 2


def test_a_cut_chunk_is_shown_and_asked_about_again_by_retry_alone(
    aegis: InProcess, built: Path, server: LLMServer
) -> None:
    assert {"document": ONE, "stage": "graph", "unread": {"cut": 1}} in aegis.json("status")["incomplete"]
    assert f"chunks not read to the end: {ONE} (1 cut)" in aegis("status").stdout
    assert "'cut': 1" in aegis("show", ONE).stdout
    server.reset()
    assert aegis.json("ingest")["work"]["chunks_extracted"] == 0
    assert server.records() == []
    assert aegis.json("retry")["work"]["chunks_extracted"] == 1
    assert [record.model for record in server.records()] == [READING]
    assert aegis.json("status")["incomplete"] == []


def test_what_is_forgotten_is_asked_again_by_force_alone(aegis: InProcess, built: Path, server: LLMServer) -> None:
    server.reset()
    before = cached(built)
    done = aegis("cache", "forget", "--stage", "graph", "--document", ONE)
    assert done.exit_code == 0
    assert f"{before['graph'] - cached(built)['graph']} answers about chunks are forgotten." in done.stdout
    assert "aegis ingest --force-from graph" in done.stdout
    assert cached(built) | {"graph": before["graph"]} == before
    assert aegis.json("ingest")["work"]["chunks_extracted"] == 0
    assert server.records() == []
    assert aegis.json("ingest", "--force-from", "graph")["work"]["chunks_extracted"] == len(server.records())
    assert cached(built) == before


def test_why_a_chunk_was_not_read_is_told_although_the_document_is_done(
    tmp_path: Path, server: LLMServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    aegis = InProcess(tmp_path / "home", monkeypatch)
    monkeypatch.setenv("AEGIS_ROOT", str(tmp_path / "root"))
    project = project_with_models(tmp_path, server, enrich=EnrichSettings(describer="ocr"))
    write_documents(project.root, [ONE], paragraphs=20)
    server.script([Rule(Behaviour(Kind.REFUSED), model=READING, contains="in part 0."), Rule()])
    asyncio.run(bring_up(project))
    (part,) = aegis.json("status")["incomplete"]
    assert part["unread"] == {"content_refused": 1}
    assert "content management policy" in part["why"]["content_refused"]
    with project.engine.begin() as connection:  # whatever a provider says, a terminal shows it as it is
        changed = "UPDATE stage_states SET facts = replace(facts, 'content management', '[red]content[/]\\u001b[2J')"
        connection.exec_driver_sql(changed)
    shown = " ".join(aegis("status").stdout.split())
    assert "content_refused: Every model" in shown and "[red]content[/]" in shown and "\x1b" not in shown
