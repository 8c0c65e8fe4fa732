"""Answers that were cut are not paid for again while nothing promises a longer one."""

import shutil
from pathlib import Path

import pytest

from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.pipeline import IngestionPipeline
from aegis_dagster.planning.forecast import forecast
from aegis_dagster_tests.stages.test_cut_answers import (
    ONE,
    PART,
    REPORT,
    SEEN_IN_PART,
    asked,
    reading,
    seeing,
)
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, LLMServer, Rule
from aegis_dagster_tests.support.projects import bring_up, recorded, write_documents
from aegis_dagster_tests.support.projects_with_models import READING, SEEING, write_picture_document

NOTHING_WHOLE = Behaviour(text='{"entities": [{"na', finish_reason="length")


@pytest.mark.parametrize("cut", [PART.behaviour, NOTHING_WHOLE])
async def test_a_chunk_that_was_cut_is_not_paid_again_while_another_waits(
    tmp_path: Path, server: LLMServer, cut: Behaviour
) -> None:
    project = reading(tmp_path, server)
    write_documents(project.root, [ONE], paragraphs=20)
    busy = Rule(Behaviour(Kind.RATE_LIMIT), model=READING, contains="in part 19.")
    server.script([Rule(cut, model=READING, contains="in part 0."), busy, Rule()])
    await bring_up(project)
    assert recorded(project)[ONE][Stage.GRAPH].status is Status.DEFERRED
    assert 1000 in asked(server, READING)
    before = len(asked(server, READING))
    await bring_up(project)
    assert 1000 not in asked(server, READING)[before:]

    server.script([Rule()])
    before = len(asked(server, READING))
    await bring_up(project)
    state = recorded(project)[ONE][Stage.GRAPH]
    assert asked(server, READING)[before:] == [500]  # about the chunk that waited
    assert (state.status, state.facts["unread"], state.facts["cut_at"]) == (Status.DONE, {"cut": 1}, 500)
    await bring_up(reading(tmp_path, server, 600))
    assert asked(server, READING)[before:] == [500, 600]
    assert project.reports.incomplete() == []


async def test_equal_chunks_in_other_collections_are_not_paid_again(tmp_path: Path, server: LLMServer) -> None:
    project = reading(tmp_path, server)
    write_documents(project.root, [ONE], paragraphs=3)
    (project.root / "d").mkdir()
    shutil.copy(project.root / ONE, project.root / "d" / "one.txt")
    server.script([PART, Rule()])
    await bring_up(project, collection="c")
    before = len(asked(server, READING))
    await bring_up(project, collection="d")
    assert asked(server, READING)[before:] == []
    assert [part.unread for part in project.reports.incomplete()] == [{"cut": 1}, {"cut": 1}]


async def test_a_picture_that_was_cut_is_not_paid_again_while_another_waits(tmp_path: Path, server: LLMServer) -> None:
    project = seeing(tmp_path, server)
    write_picture_document(project.root / REPORT, pictures=2)
    busy = Rule(Behaviour(Kind.RATE_LIMIT), model=SEEING)
    server.script([Rule(SEEN_IN_PART.behaviour, model=SEEING, times=1), busy])
    await bring_up(project)
    assert recorded(project)[REPORT][Stage.ENRICH].status is Status.DEFERRED
    server.script([Rule()])
    before = len(asked(server, SEEING))
    await bring_up(project)
    assert asked(server, SEEING)[before:] == [100]
    facts = recorded(project)[REPORT][Stage.ENRICH].facts
    assert (facts["described"], facts["unread"], facts["cut_at"]) == (2, {"cut": 1}, 100)


async def test_what_is_left_is_forecast_without_the_chunks_that_were_cut(tmp_path: Path, server: LLMServer) -> None:
    project = reading(tmp_path, server)
    write_documents(project.root, [ONE], paragraphs=20)
    server.script([PART, Rule(Behaviour(Kind.RATE_LIMIT), model=READING, contains="in part 19."), Rule()])
    await bring_up(project)
    documents = project.documents.all()
    assert forecast(project, documents).totals.calls == 1
    assert forecast(project, documents, forced=[Stage.GRAPH]).totals.calls == 2


async def test_a_document_all_of_whose_chunks_were_cut_waits_for_more_room(tmp_path: Path, server: LLMServer) -> None:
    project = reading(tmp_path, server)
    write_documents(project.root, [ONE])
    server.script([Rule()])
    await bring_up(project)
    known = project.graph.size()
    server.script([Rule(NOTHING_WHOLE)])
    (project.root / ONE).write_text("Entirely new words about the tides of Porto.\n" * 3)
    await bring_up(project)
    state = recorded(project)[ONE][Stage.GRAPH]
    assert state.failure is not None
    assert (state.status, state.failure.code, state.failure.retryable) == (Status.FAILED, "extraction_failed", False)
    assert project.graph.size() == known  # what was found before stays
    before = len(asked(server, READING))
    assert project.reports.stale(project.artifacts.exists) == []
    await bring_up(project)
    assert asked(server, READING)[before:] == []

    project.catalog.reset_failures([ONE])  # as `aegis retry` does
    await bring_up(project)
    assert asked(server, READING)[before:] == [500, 1000]
    server.script([Rule()])
    await bring_up(reading(tmp_path, server, 600))
    assert asked(server, READING)[before:] == [500, 1000, 600]
    assert recorded(project)[ONE][Stage.GRAPH].status is Status.DONE


async def test_the_pipeline_tells_what_was_found_in_answers_that_were_cut(tmp_path: Path, server: LLMServer) -> None:
    project = reading(tmp_path, server)
    write_documents(project.root, [ONE], paragraphs=2)
    server.script([Rule(PART.behaviour, model=READING), Rule()])
    state = await IngestionPipeline(project).run(project.root / ONE)
    assert state["graph_status"] == "completed"
    assert "Analytical Engine" in {entity["name"] for entity in state["entities"]}
