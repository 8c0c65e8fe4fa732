"""Documents that go over a limit of one document: nothing is paid for them, and a raised limit lets them go on."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import Stage, StageState, Status
from aegis_dagster.errors import FailureCode
from aegis_dagster.planning.forecast import forecast
from aegis_dagster.planning.plan import look, plan
from aegis_dagster.settings.stages import EmbedSettings, EnrichSettings, GraphSettings
from aegis_dagster_tests.support.llm_server import LLMServer
from aegis_dagster_tests.support.projects import bring_up, make_project, recorded, write_documents
from aegis_dagster_tests.support.projects_with_models import (
    READING,
    SEEING,
    project_with_models,
    write_picture_document,
)

OCR = EnrichSettings(describer="ocr")
EMBEDS = EmbedSettings(model="openai/embeds")
BIG, SMALL = DocumentId("c/big.txt"), DocumentId("c/small.txt")


def state(project: Project, document: DocumentId, stage: Stage) -> StageState:
    return recorded(project)[document][stage]


def asked_about(server: LLMServer, name: str) -> int:
    """How many calls show the text of a document."""
    return sum(name in str(record.body) for record in server.records())


def write_both(project: Project) -> None:
    write_documents(project.root, [BIG], paragraphs=12)
    write_documents(project.root, [SMALL], paragraphs=1)


@pytest.mark.parametrize(
    ("limits", "setting"),
    [({"max_calls": 3}, "limits.max_calls"), ({"max_usd": "0.005"}, "limits.max_usd")],
)
async def test_nothing_is_paid_for_a_document_over_a_limit_and_the_others_go_on(
    tmp_path: Path, server: LLMServer, limits: dict[str, Any], setting: str
) -> None:
    project = project_with_models(tmp_path, server, enrich=OCR, embed=EMBEDS, limits=limits)
    write_both(project)
    told = forecast(project, project.documents.all() or look(project).documents)
    assert set(told.over_limit) == {BIG}  # before anything was parsed
    reports = await bring_up(project)

    for stage in (Stage.EMBED, Stage.GRAPH):
        refused = state(project, BIG, stage)
        assert refused.failure is not None and refused.failure.code is FailureCode.OVER_LIMIT
        assert setting in refused.failure.message and setting in refused.failure.remedy
        assert state(project, SMALL, stage).status is Status.DONE
        assert reports[stage].outcomes.total() == 2
    assert asked_about(server, BIG) == 0
    needs = [state(project, BIG, stage).facts["needs"][setting] for stage in (Stage.EMBED, Stage.GRAPH)]
    assert needs[0] == needs[1]  # of the whole document, so that one value suffices
    assert asked_about(server, SMALL) == 2  # one text: embedded, and read

    before = len(server.records())
    now = forecast(project, project.documents.all())
    assert (now.totals.calls, set(now.over_limit)) == (0, {BIG})
    assert plan(project, project.documents.all(), look(project)).documents_to_do == 0
    await bring_up(project)
    assert len(server.records()) == before

    raised = project_with_models(tmp_path, server, enrich=OCR, embed=EMBEDS)
    expected = forecast(raised, raised.documents.all())
    assert plan(raised, raised.documents.all(), look(raised)).documents_to_do == 1
    await bring_up(raised)
    assert state(raised, BIG, Stage.EMBED).status is state(raised, BIG, Stage.GRAPH).status is Status.DONE
    assert len(server.records()) - before == expected.totals.calls > 3

    lowered = project_with_models(tmp_path, server, enrich=OCR, embed=EMBEDS, limits=limits)
    asked = len(server.records())
    reports = await bring_up(lowered)
    assert sum(report.outcomes.total() for report in reports.values()) == 0
    assert len(server.records()) == asked
    assert state(lowered, BIG, Stage.GRAPH).status is Status.DONE


async def test_a_document_of_too_many_chunks_goes_no_further_without_any_model(tmp_path: Path) -> None:
    project = make_project(tmp_path, limits={"max_chunks": 2})
    write_both(project)
    assert set(forecast(project, look(project).documents).over_limit) == {BIG}
    await bring_up(project)
    refused = state(project, BIG, Stage.CHUNK)
    assert refused.failure is not None and "limits.max_chunks" in refused.failure.remedy
    assert set(project.vectors.counts_by_document()) == {SMALL}

    raised = make_project(tmp_path, limits={"max_chunks": refused.facts["needs"]["limits.max_chunks"]})
    reports = await bring_up(raised)
    assert reports[Stage.CHUNK].work["chunked"] == 0  # its chunks were kept
    assert reports[Stage.CHUNK].outcomes.total() == 1  # exactly this document
    assert set(raised.vectors.counts_by_document()) == {BIG, SMALL}


async def test_what_the_ledger_holds_of_a_document_counts_until_it_is_edited(tmp_path: Path, server: LLMServer) -> None:
    limits = {"max_calls": 4}
    project = project_with_models(tmp_path, server, enrich=OCR, limits=limits)
    write_documents(project.root, [SMALL], paragraphs=3)
    await bring_up(project)
    made = asked_about(server, SMALL)
    assert made == 3

    again = {"max_answer_tokens": 512, "quality": "high"}
    models = {"reads-better": {"tasks": ["entity_extraction"], "quality": "high"}}
    llm = {
        **project.settings.llm.model_dump(include={"tiers", "budgets", "rest_after_failures"}),
        "providers": {"openai": {"base_url": server.v1, "api_key_variable": None, "models": models, "attempts": 1}},
        "prices": {"openai/reads-better": {"input": "1", "output": "2"}},
    }
    other = make_project(tmp_path, llm=llm, enrich=OCR, graph=again, limits=limits)
    before = recorded(other)[SMALL][Stage.GRAPH].facts["mentions"]
    await bring_up(other)
    refused = state(other, SMALL, Stage.GRAPH)
    assert refused.facts["needs"] == {"limits.max_calls": 6}
    assert refused.failure is not None and "besides 3 since it last changed" in refused.failure.message
    assert asked_about(server, SMALL) == made
    assert before and other.evidence.chunk_counts_by_document()[SMALL] == 3  # what was known of it stays

    (other.root / SMALL).write_text("Another text about c/small.txt and the tide gauge of Eastmere.\n", "utf-8")
    await bring_up(other)
    assert state(other, SMALL, Stage.GRAPH).status is Status.DONE
    assert asked_about(server, SMALL) == made + 1


async def test_equal_and_known_pictures_need_one_call_and_too_many_different_ones_none(
    tmp_path: Path, server: LLMServer
) -> None:
    statistical = GraphSettings(extractor="statistical")
    project = project_with_models(tmp_path, server, graph=statistical, limits={"max_calls": 2})
    many, few = DocumentId("c/many.docx"), DocumentId("c/few.docx")
    write_picture_document(project.root / many, pictures=3)
    write_picture_document(project.root / few, pictures=2, text="Another report.")
    await bring_up(project)
    assert state(project, few, Stage.ENRICH).status is Status.DONE
    calls = sum(record.model == SEEING for record in server.records())
    if state(project, many, Stage.ENRICH).status is Status.FAILED:  # it came first: of its three none was known
        assert calls == 2
        assert state(project, many, Stage.EMBED).status is Status.DONE  # its text is found without descriptions
        await bring_up(project_with_models(tmp_path, server, graph=statistical, limits={"max_calls": 3}))
    assert state(project, many, Stage.ENRICH).facts["described"] == 3
    assert sum(record.model == SEEING for record in server.records()) == 3


async def test_a_local_model_counts_calls_and_no_money(tmp_path: Path, server: LLMServer) -> None:
    models = {READING: {"tasks": ["entity_extraction"]}}
    provider = {"base_url": server.v1, "api_key_variable": None, "models": models, "free": True, "attempts": 1}
    llm = {"tiers": ["openai"], "providers": {"openai": provider}}
    project = make_project(tmp_path, llm=llm, enrich=OCR, limits={"max_usd": Decimal(0), "max_calls": 5})
    write_both(project)
    await bring_up(project)
    assert state(project, SMALL, Stage.GRAPH).status is Status.DONE
    assert set(state(project, BIG, Stage.GRAPH).facts["needs"]) == {"limits.max_calls"}
    assert state(project, BIG, Stage.EMBED).status is Status.DONE  # MiniLM is asked nothing
