"""Answers that were cut are used as far as they go, and are never final."""

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.document_state import Why
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.search import find_passages
from aegis_dagster.settings.stages import EnrichSettings, GraphSettings
from aegis_dagster_tests.support.extraction_models import answer
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, LLMServer, Rule
from aegis_dagster_tests.support.projects import bring_up, recorded, write_documents
from aegis_dagster_tests.support.projects_with_models import (
    READING,
    SEEING,
    project_with_models,
    write_picture_document,
)

OCR, STATISTICAL = EnrichSettings(describer="ocr"), GraphSettings(extractor="statistical")
ONE, REPORT = DocumentId("c/one.txt"), DocumentId("c/report.docx")
PART = Rule(Behaviour(text=answer()[:-30], finish_reason="length"), model=READING, contains="in part 0.")
FULL_CONTEXT = Behaviour(usage_fields={"prompt_tokens": 4096, "completion_tokens": 9, "total_tokens": 4105})
SEEN_IN_PART = Rule(Behaviour(text="A bar chart of tides. The highest st", finish_reason="length"), model=SEEING)


def reading(folder: Path, server: LLMServer, most: int = 500) -> Project:
    return project_with_models(folder, server, enrich=OCR, graph=GraphSettings(max_answer_tokens=most))


def seeing(folder: Path, server: LLMServer, most: int = 100) -> Project:
    return project_with_models(folder, server, enrich=EnrichSettings(max_answer_tokens=most), graph=STATISTICAL)


def asked(server: LLMServer, model: str) -> list[int]:
    """The limits of the answers, in the order in which they were asked for."""
    return [record.body["max_completion_tokens"] for record in server.records() if record.model == model]


async def test_a_chunk_whose_answers_are_cut_is_told_and_asked_about_again(tmp_path: Path, server: LLMServer) -> None:
    project = reading(tmp_path, server)
    write_documents(project.root, [ONE], paragraphs=20)
    server.script([PART, Rule()])
    await bring_up(project)
    chunks = project.reports.summaries()[0].chunks
    assert sorted(asked(server, READING)) == [500] * chunks + [1000]
    with project.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM llm_calls")).scalar_one() == chunks + 1
        whole = sa.text("SELECT count(*) FROM extraction_cache WHERE evidence NOT LIKE '%cut_at%'")
        assert connection.execute(whole).scalar_one() == chunks - 1

    state = recorded(project)[ONE][Stage.GRAPH]
    assert (state.status, state.facts["unread"], state.facts["cut_at"]) == (Status.DONE, {"cut": 1}, 500)
    assert project.graph.find_entity("Analytical Engine").type == "artifact"  # a whole record of the cut answer
    (part,) = project.reports.incomplete()
    assert (part.document_id, part.stage, part.unread) == (ONE, Stage.GRAPH, {"cut": 1})
    assert project.reports.stale(project.artifacts.exists) == []  # nothing is asked again by itself

    server.script([Rule()])
    await bring_up(project, stages=[Stage.GRAPH], force=True)
    assert len(asked(server, READING)) == chunks + 2
    assert project.reports.incomplete() == []


async def test_a_raised_limit_asks_again_about_what_was_cut_and_nothing_else(tmp_path: Path, server: LLMServer) -> None:
    project = reading(tmp_path, server)
    write_documents(project.root, [ONE, "c/two.txt"], paragraphs=20)
    server.script(
        [Rule(PART.behaviour, model=READING, contains="c/one.txt was inspected by Priya Raman in part 0."), Rule()]
    )
    await bring_up(project)
    before = len(server.records())

    assert reading(tmp_path, server, 400).reports.stale(project.artifacts.exists) == []
    more = reading(tmp_path, server, 600)
    assert [document.id for document in more.reports.stale(project.artifacts.exists)] == [ONE]
    assert more.states.one(more.reports.find(ONE)).planned(project.artifacts.exists) == {Stage.GRAPH: Why.MORE_ROOM}
    server.script([Rule()])
    await bring_up(more)
    assert asked(server, READING)[before:] == [600]
    assert more.reports.incomplete() == []
    assert more.reports.stale(project.artifacts.exists) == []


async def test_a_document_all_of_whose_answers_were_cut_tells_so_and_waits_for_more_room(
    tmp_path: Path, server: LLMServer
) -> None:
    project = reading(tmp_path, server)
    write_documents(project.root, [ONE])
    server.script([Rule(Behaviour(text='{"entities": [{"na', finish_reason="length"))])
    await bring_up(project)
    (failed,) = project.reports.failures()
    assert (failed.stage, failed.failure.code) == (Stage.GRAPH, "extraction_failed")
    assert "4 cut" in failed.failure.message
    assert "raise graph.max_answer_tokens" in failed.failure.remedy
    server.script([Rule()])
    more = reading(tmp_path, server, 600)
    await bring_up(more)
    assert recorded(more)[ONE][Stage.GRAPH].status is Status.DONE


async def test_an_input_that_filled_the_context_was_cut(tmp_path: Path, server: LLMServer) -> None:
    project = reading(tmp_path, server)
    write_documents(project.root, [ONE])
    server.script([Rule(FULL_CONTEXT)])
    await bring_up(project)
    assert recorded(project)[ONE][Stage.GRAPH].facts["unread"] == {"cut": 4}


async def test_a_picture_whose_descriptions_are_cut_is_looked_at_again(tmp_path: Path, server: LLMServer) -> None:
    project = seeing(tmp_path, server)
    write_picture_document(project.root / REPORT)
    write_picture_document(project.root / "c" / "copy.docx", text="Another report with the same picture.")
    server.script([SEEN_IN_PART, Rule()])
    await bring_up(project)
    assert asked(server, SEEING) == [100, 200]  # for both documents
    facts = recorded(project)[REPORT][Stage.ENRICH].facts
    assert (facts["described"], facts["unread"], facts["cut_at"]) == (1, {"cut": 1}, 100)
    assert [hit.document for hit in await find_passages(project, "bar chart of tides", limit=1)] != []

    server.script([Rule()])
    more = seeing(tmp_path, server, 300)
    assert len(more.reports.stale(project.artifacts.exists)) == 2
    await bring_up(more)
    assert asked(server, SEEING)[2:] == [300]
    assert more.reports.incomplete() == []
    assert more.reports.stale(project.artifacts.exists) == []
    found = await find_passages(more, "picture that sees describes", limit=3)
    assert any("describes in these nine words" in hit.text for hit in found)
    assert not any("bar chart of tides" in hit.text for hit in found)


async def test_a_description_that_is_whole_now_reaches_equal_bytes_in_every_collection(
    tmp_path: Path, server: LLMServer
) -> None:
    project = seeing(tmp_path, server)
    write_picture_document(project.root / REPORT)
    (project.root / "d").mkdir()
    shutil.copy(project.root / REPORT, project.root / "d" / "report.docx")
    server.script([SEEN_IN_PART, Rule()])
    await bring_up(project)
    server.script([Rule()])
    more = seeing(tmp_path, server, 300)
    for collection in ("c", "d"):  # as a run does: one collection after another
        await bring_up(more, collection=collection)
    assert asked(server, SEEING)[2:] == [300]
    for collection in ("c", "d"):
        (hit,) = await find_passages(more, "picture that sees describes", limit=1, collection=collection)
        assert "describes in these nine words" in hit.text


@pytest.mark.parametrize("kind", [Kind.MALFORMED_JSON, Kind.HTML])
async def test_one_picture_never_fails_its_document(tmp_path: Path, server: LLMServer, kind: Kind) -> None:
    project = seeing(tmp_path, server)
    write_picture_document(project.root / REPORT, pictures=2)
    server.script([Rule(Behaviour(kind), model=SEEING, times=1), Rule()])
    await bring_up(project)
    state = recorded(project)[REPORT][Stage.ENRICH]
    assert (state.status, state.facts["unread"], state.facts["described"]) == (Status.DONE, {"bad_answer": 1}, 1)


async def test_half_an_emoji_and_nul_in_a_description_are_replaced(tmp_path: Path, server: LLMServer) -> None:
    project = seeing(tmp_path, server)
    write_picture_document(project.root / REPORT)
    server.script([Rule(Behaviour(text="A chart of tides\ud83d with\x00 six bars."), model=SEEING), Rule()])
    await bring_up(project)
    assert recorded(project)[REPORT][Stage.ENRICH].facts["described"] == 1
    with project.engine.connect() as connection:
        text = connection.execute(sa.text("SELECT text FROM picture_descriptions")).scalar_one()
    assert text == "A chart of tides\ufffd with\ufffd six bars."
