"""Documents that wait for money or for a provider: found meanwhile, tried at every run, paid once."""

from collections import Counter
from pathlib import Path

import sqlalchemy as sa

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.accounts import AccountKey, AccountKind
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.money import NanoUsd, month_of
from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.search import find_passages
from aegis_dagster.settings.stages import EmbedSettings, EnrichSettings, GraphSettings
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, LLMServer, Rule
from aegis_dagster_tests.support.projects import bring_up, make_project, recorded, write_documents
from aegis_dagster_tests.support.projects_with_models import (
    READING,
    SEEING,
    llm_settings,
    project_with_models,
    write_picture_document,
)

OCR, STATISTICAL = EnrichSettings(describer="ocr"), GraphSettings(extractor="statistical")
REPORT = DocumentId("c/report.docx")


async def raise_limit(project: Project, usd: int) -> None:
    models = project.models()
    account = AccountKey(AccountKind.PROVIDER, "openai", month_of(project.clock.now()))
    models.ledger.set_limit(account, NanoUsd(usd * 10**9))
    await models.aclose()


def status(project: Project, document: DocumentId, stage: Stage) -> Status:
    return recorded(project)[document][stage].status


def calls_of(server: LLMServer, model: str) -> int:
    return sum(record.model == model for record in server.records())


async def test_a_picture_that_waits_for_money_lets_the_document_be_found_and_is_described_later(
    tmp_path: Path, server: LLMServer
) -> None:
    project = project_with_models(tmp_path, server, limit_usd="0", graph=STATISTICAL)
    write_picture_document(project.root / REPORT)
    await bring_up(project)

    assert status(project, REPORT, Stage.ENRICH) is Status.DEFERRED
    assert status(project, REPORT, Stage.EMBED) is Status.DONE
    (summary,) = project.reports.summaries()
    assert summary.by_status == {Status.DEFERRED: 1}
    assert [hit.document for hit in await find_passages(project, "tide gauge", limit=1)] == [REPORT]
    assert server.records() == []

    await raise_limit(project, 10)
    await bring_up(project)
    assert status(project, REPORT, Stage.ENRICH) is Status.DONE
    (summary,) = project.reports.summaries()
    assert summary.by_status == {Status.DONE: 1}
    passages = await find_passages(project, "picture that sees describes", limit=3)
    assert any("describes in these nine words" in hit.text for hit in passages)
    assert calls_of(server, SEEING) == 1


async def test_waiting_is_no_attempt(tmp_path: Path, server: LLMServer) -> None:
    project = project_with_models(tmp_path, server, limit_usd="0", enrich=OCR)
    write_documents(project.root, ["c/one.txt"])
    for _ in range(5):
        reports = await bring_up(project)
        assert reports[Stage.GRAPH].outcomes == Counter({Status.DEFERRED: 1})
    (why,) = reports[Stage.GRAPH].deferred
    assert "Too little money is left for provider openai" in why
    assert "aegis budget raise openai" in why
    state = recorded(project)[DocumentId("c/one.txt")][Stage.GRAPH]
    assert state.attempts == 1
    assert state.facts["reason"] == "budget"
    budget = state.facts["budget"]
    assert (budget["kind"], budget["account"], budget["limit"]) == ("provider", "openai", 0)
    assert budget["month"] == month_of(project.clock.now()) and budget["wanted"] > 0
    await raise_limit(project, 10)
    assert (await bring_up(project))[Stage.GRAPH].outcomes == Counter({Status.DONE: 1})


async def test_providers_that_do_not_answer_defer_the_document_too(tmp_path: Path, server: LLMServer) -> None:
    llm = llm_settings(server, rest_after_failures=1)
    project = make_project(tmp_path, enrich=OCR, llm=llm)
    write_documents(project.root, ["c/one.txt"], paragraphs=20)
    server.script([Rule(Behaviour(kind=Kind.UNAVAILABLE))])
    reports = await bring_up(project)
    assert reports[Stage.GRAPH].outcomes == Counter({Status.DEFERRED: 1})
    assert reports[Stage.EMBED].outcomes == Counter({Status.DONE: 1})
    server.script([Rule()])
    assert (await bring_up(project))[Stage.GRAPH].outcomes == Counter({Status.DONE: 1})


async def test_what_a_document_said_stays_while_its_new_text_waits(tmp_path: Path, server: LLMServer) -> None:
    project = project_with_models(tmp_path, server, enrich=OCR)
    write_documents(project.root, ["c/one.txt"])
    await bring_up(project)
    before = project.evidence.digest()
    paid = len(server.records())
    assert paid > 0

    await raise_limit(project, 0)
    write_documents(project.root, ["c/one.txt"], paragraphs=7)
    await bring_up(project)
    assert project.evidence.digest() == before
    assert len(server.records()) == paid

    await raise_limit(project, 10)
    await bring_up(project)
    assert project.evidence.digest() != before
    asked = Counter(str(record.body["messages"]) for record in server.records())
    assert set(asked.values()) == {1}


async def test_one_bad_answer_costs_its_chunk_alone_and_is_told(tmp_path: Path, server: LLMServer) -> None:
    project = project_with_models(tmp_path, server, enrich=OCR)
    write_documents(project.root, ["c/one.txt"], paragraphs=20)
    server.script([Rule(Behaviour(text="I would rather not."), contains="in part 0"), Rule()])
    reports = await bring_up(project)
    facts = recorded(project)[DocumentId("c/one.txt")][Stage.GRAPH].facts
    assert reports[Stage.GRAPH].outcomes == Counter({Status.DONE: 1})
    assert facts["unread"] == {"bad_answer": 1}
    assert facts["mentions"] > 0
    assert reports[Stage.GRAPH].work["chunks_unread"] == 1

    server.script([Rule()])
    again = await bring_up(project, force=True)
    assert again[Stage.GRAPH].work["chunks_extracted"] == 1
    assert "unread" not in recorded(project)[DocumentId("c/one.txt")][Stage.GRAPH].facts


async def test_a_document_no_chunk_of_which_could_be_read_has_failed(tmp_path: Path, server: LLMServer) -> None:
    project = project_with_models(tmp_path, server, enrich=OCR)
    write_documents(project.root, ["c/one.txt"])
    server.script([Rule(Behaviour(text="I would rather not."))])
    await bring_up(project)
    (failed,) = project.reports.failures()
    assert (failed.stage, failed.failure.code) == (Stage.GRAPH, "extraction_failed")


async def test_a_confidential_collection_never_reaches_a_provider_that_is_not_local(
    tmp_path: Path, server: LLMServer
) -> None:
    collections = {"secret": {"local_only": True}}
    project = project_with_models(tmp_path, server, enrich=OCR, collections=collections)
    write_documents(project.root, ["secret/plan.txt", "open/news.txt"])
    await bring_up(project)
    prompts = "".join(str(record.body) for record in server.records())
    assert "open/news.txt" in prompts
    assert "secret/plan.txt" not in prompts
    secret = recorded(project)[DocumentId("secret/plan.txt")][Stage.GRAPH]
    assert secret.status is Status.DONE
    assert secret.facts["mentions"] > 0


async def test_another_embedding_model_is_filled_beside_the_old_one_and_then_switched(
    tmp_path: Path, server: LLMServer
) -> None:
    here = project_with_models(tmp_path, server, enrich=OCR, graph=STATISTICAL)
    names = [f"c/{number}.txt" for number in range(6)]
    write_documents(here.root, names)
    await bring_up(here)
    old = here.vectors.collection

    poor = project_with_models(
        tmp_path, server, limit_usd="0", enrich=OCR, graph=STATISTICAL, embed=EmbedSettings(model="openai/embeds")
    )
    reports = await bring_up(poor)
    assert reports[Stage.EMBED].outcomes == Counter({Status.DEFERRED: len(names)})
    assert poor.vectors.active_collection() == old
    found = {hit.document for hit in await find_passages(poor, "What was inspected by Priya Raman?", limit=50)}
    assert found == set(names)

    await raise_limit(poor, 10)
    await bring_up(poor)
    assert poor.vectors.active_collection() == poor.vectors.collection != old
    assert poor.vectors.count() == here.reports.summaries()[0].chunks
    assert not (here.settings.vectors_dir / "collection" / old).exists()
    assert calls_of(server, "embeds") > 0
    assert await find_passages(poor, "What was inspected by Priya Raman?", limit=3)
    assert calls_of(server, READING) == 0


async def test_a_text_that_the_model_turns_down_costs_the_others_nothing(tmp_path: Path, server: LLMServer) -> None:
    project = project_with_models(
        tmp_path, server, enrich=OCR, graph=STATISTICAL, embed=EmbedSettings(model="openai/embeds")
    )
    write_documents(project.root, ["c/one.txt", "c/two.txt"], paragraphs=20)
    server.script(
        [Rule(Behaviour(kind=Kind.REFUSED), contains="c/one.txt was inspected by Priya Raman in part 0."), Rule()]
    )
    reports = await bring_up(project)
    one, two = (recorded(project)[name][Stage.EMBED] for name in map(DocumentId, ["c/one.txt", "c/two.txt"]))
    assert reports[Stage.EMBED].outcomes == Counter({Status.DONE: 2})
    assert one.facts["refused"] == {"content_refused": 1}
    assert "refused" not in two.facts
    counts = project.vectors.counts_by_document()
    assert counts == {"c/one.txt": one.facts["points"], "c/two.txt": two.facts["points"]}
    assert reports[Stage.EMBED].work["chunks_refused"] == 1


async def test_documents_whose_vectors_could_be_paid_are_published_and_the_others_wait(
    tmp_path: Path, server: LLMServer
) -> None:
    embed = EmbedSettings(model="openai/embeds")
    whole = project_with_models(tmp_path / "whole", server, enrich=OCR, graph=STATISTICAL, embed=embed)
    names = [f"c/{number:02}.txt" for number in range(30)]  # each of one chunk; ten go into one call
    write_documents(whole.root, names, paragraphs=1)
    await bring_up(whole)
    texts = sum(len(record.body["input"]) for record in server.records())
    with whole.engine.connect() as connection:
        query = sa.text("SELECT sum(cost_nanousd), max(reserved_nanousd) FROM llm_calls")
        spent, largest = connection.execute(query).one()
    server.reset()

    limit = f"{(spent * 0.5 + largest) / 1e9:.9f}"  # calls fit until half of it is spent
    poor = project_with_models(tmp_path / "poor", server, limit_usd=limit, enrich=OCR, graph=STATISTICAL, embed=embed)
    write_documents(poor.root, names, paragraphs=1)
    outcomes = (await bring_up(poor))[Stage.EMBED].outcomes
    assert outcomes[Status.DEFERRED] > 0
    assert outcomes[Status.DONE] > 0
    assert outcomes.total() == len(names)
    assert len(poor.vectors.counts_by_document()) == outcomes[Status.DONE]

    await raise_limit(poor, 10)
    assert (await bring_up(poor))[Stage.EMBED].outcomes == Counter({Status.DONE: outcomes[Status.DEFERRED]})
    assert sum(len(record.body["input"]) for record in server.records()) == texts
    assert set(poor.vectors.counts_by_document()) == set(names)


async def test_a_chunk_that_breaks_every_answer_does_not_make_its_document_wait_for_ever(
    tmp_path: Path, server: LLMServer
) -> None:
    project = project_with_models(tmp_path, server, enrich=OCR)
    write_documents(project.root, ["c/one.txt"], paragraphs=20)
    server.script([Rule(Behaviour(kind=Kind.HTML), contains="in part 0."), Rule()])
    reports = await bring_up(project)
    assert reports[Stage.GRAPH].outcomes == Counter({Status.DONE: 1})
    facts = recorded(project)[DocumentId("c/one.txt")][Stage.GRAPH].facts
    assert facts["unread"] == {"bad_answer": 1}
    asked = len(server.records())
    await bring_up(project)
    assert len(server.records()) == asked


async def test_a_text_that_breaks_every_answer_costs_those_in_its_call_nothing(
    tmp_path: Path, server: LLMServer
) -> None:
    project = project_with_models(
        tmp_path, server, enrich=OCR, graph=STATISTICAL, embed=EmbedSettings(model="openai/embeds")
    )
    names = [f"c/{number}.txt" for number in range(9)]
    write_documents(project.root, names, paragraphs=1)
    server.script([Rule(Behaviour(kind=Kind.SERVER_ERROR), contains="of c/4.txt"), Rule()])
    reports = await bring_up(project)
    assert reports[Stage.EMBED].outcomes == Counter({Status.DONE: 8, Status.FAILED: 1})
    assert set(project.vectors.counts_by_document()) == set(names) - {"c/4.txt"}


async def test_a_picture_that_no_model_takes_is_paid_once_and_asked_again_by_force(
    tmp_path: Path, server: LLMServer
) -> None:
    project = project_with_models(tmp_path, server, graph=STATISTICAL)
    server.script([Rule(Behaviour(kind=Kind.REFUSED), model=SEEING), Rule()])
    write_picture_document(project.root / "c" / "one.docx")
    write_picture_document(project.root / "c" / "two.docx", text="Another report with the same picture.")
    await bring_up(project)
    assert calls_of(server, SEEING) == 1
    states = recorded(project)
    assert [state[Stage.ENRICH].facts["fallback"] for state in states.values()] == [1, 1]
    server.script([Rule()])
    await bring_up(project, stages=[Stage.ENRICH], force=True)
    assert calls_of(server, SEEING) == 2


async def test_questions_go_to_no_provider_that_may_not_see_a_confidential_collection(
    tmp_path: Path, server: LLMServer
) -> None:
    before = project_with_models(
        tmp_path, server, enrich=OCR, graph=STATISTICAL, embed=EmbedSettings(model="openai/embeds")
    )
    write_documents(before.root, ["secret/plan.txt"])
    await bring_up(before)
    server.reset()
    now = project_with_models(
        tmp_path, server, enrich=OCR, graph=STATISTICAL, collections={"secret": {"local_only": True}}
    )
    await find_passages(now, "What is the plan?")
    assert server.records() == []
