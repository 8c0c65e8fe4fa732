"""What a reader loses is shown by every view, with its place; what is left out on purpose is counted by reason."""

import json
from pathlib import Path
from typing import Any

import pytest
from docling_core.types.doc.document import DoclingDocument

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.ingestion.asset_checks import text_coverage
from aegis_dagster.domain.stages import Stage
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.projects import bring_up, make_project
from aegis_dagster_tests.support.tasks_in_process import TasksInProcess

LOST = "Invoice No. 1002"
LONG = "The harbour was quiet that morning, and nobody spoke of it until the evening.\n" * 400
LOSSY, WHOLE = "lossy.md", "whole.html"


class ForgetfulTasks(TasksInProcess):
    """Parses like any other, and loses one paragraph."""

    async def run(self, task: str, payload: dict[str, Any], *, timeout_seconds: float) -> dict[str, Any]:
        result = await super().run(task, payload, timeout_seconds=timeout_seconds)
        file = Path(payload["out_dir"]) / "document.json"
        if task == "parse":
            document = DoclingDocument.load_from_json(file)
            lost = [item for item in document.texts if item.text == LOST]
            if lost:
                document.delete_items(node_items=[*lost])
                file.write_text(document.model_dump_json(), "utf-8")
        return result


async def ingested(folder: Path) -> Project:
    """A project with a document that loses a line in a hundred thousand, and one that loses nothing."""
    made = make_project(folder)
    (made.root / LOSSY).write_text(f"# Moorings\n\n{LONG}\n\n{LOST}\n\n{LONG}\n", "utf-8")
    (made.root / WHOLE).write_text("<title>Tides</title><h1>Tides</h1><p hidden>Not yet.</p><p>High.</p>", "utf-8")
    project = Project(made.settings, tasks=ForgetfulTasks())
    await bring_up(project, stages=(Stage.PARSE, Stage.ENRICH, Stage.CHUNK))
    return project


@pytest.fixture
def aegis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    """`aegis` on the project's home."""
    return InProcess(tmp_path / "home", monkeypatch)


async def test_a_lost_line_of_a_long_document_is_shown_with_its_place(tmp_path: Path, aegis: InProcess) -> None:
    project = await ingested(tmp_path)
    (marked,) = project.reports.marked()
    assert (marked.document_id, marked.losses, marked.missing) == (LOSSY, 1, (("lines 401 to 420", LOST),))
    assert 0.999 < marked.coverage < 1

    status = aegis.json("status")
    assert [(item["document"], item["missing"]) for item in status["marked"]] == [
        (LOSSY, [{"place": "lines 401 to 420", "text": LOST}])
    ]
    assert status["left_out"] == {"hidden_text": 1}
    said = " ".join(aegis("status").stdout.split())
    assert f"text missing in chunks: {LOSSY} (99.9% found, lines 401 to 420: “{LOST}”)" in said
    assert "left out on purpose: 1 hidden text" in said

    assert f"lines 401 to 420: “{LOST}”" in aegis("show", LOSSY).stdout
    assert aegis.json("show", LOSSY)["stages"]["chunk"]["facts"]["losses"] == 1
    assert "left out on purpose: 1 hidden text" in aegis("show", WHOLE).stdout


async def test_the_asset_check_names_the_line_and_its_place(tmp_path: Path) -> None:
    project = await ingested(tmp_path)
    result = text_coverage(project, project.documents.all())
    assert not result.passed
    assert result.description is not None and f"{LOSSY} (lines 401 to 420: {LOST})" in result.description
    assert result.metadata["left_out_on_purpose"].value == 1
    assert json.loads(json.dumps(result.metadata["left_out_by_reason"].value)) == {"hidden_text": 1}
    whole = [document for document in project.documents.all() if document.id == WHOLE]
    assert text_coverage(project, whole).passed
