"""Evidence by a model: the question is LightRAG's, every kind of answer is read, repaired or refused."""

import asyncio
import json
import logging
from typing import Any

import pytest

from aegis_dagster.domain.evidence import ChunkEvidence
from aegis_dagster.domain.llm import Classification, Quality, TaskType
from aegis_dagster.errors import (
    BudgetExhausted,
    ConfigurationError,
    DocumentError,
    FailureCode,
    ModelsUnavailable,
    ServiceError,
)
from aegis_dagster.extraction.lightrag_library import lightrag
from aegis_dagster.ports import Extraction
from aegis_dagster_tests.support.extraction_models import (
    ADA,
    ASKED_FOR,
    ENGINE,
    FOUND,
    GOOD,
    IDENTITY,
    NOTHING,
    TEXT,
    WROTE,
    answer,
    extracted,
    extractor,
)
from aegis_dagster_tests.support.gateways import TIERS, Hangs, Says, ScriptedGateway, Step


async def test_what_a_model_says_becomes_evidence() -> None:
    extraction, gateway = await extracted(GOOD)
    assert extraction == Extraction(FOUND, f"{IDENTITY}/house/small")
    (task,) = gateway.tasks
    assert task.task_type is TaskType.ENTITY_EXTRACTION
    assert (task.json_mode, task.max_tokens, task.asked_for) == (True, 2048, ASKED_FOR)
    assert task.quality is Quality.STANDARD


async def test_the_question_is_lightrags_own() -> None:
    """As LightRAG itself asks, when it is given the same text."""
    asked: list[tuple[str, str | None]] = []

    async def model(prompt: str, system_prompt: str | None = None, **_: Any) -> str:
        asked.append((prompt, system_prompt))
        return answer()

    chunk = {"tokens": 20, "content": TEXT, "full_doc_id": "doc", "chunk_order_index": 0}
    constants = lightrag().constants
    config = {
        "role_llm_funcs": {"extract": model},
        "entity_extract_max_gleaning": 0,
        "entity_extraction_use_json": True,
        "entity_extract_max_records": constants.DEFAULT_MAX_EXTRACTION_RECORDS,
        "entity_extract_max_entities": constants.DEFAULT_MAX_EXTRACTION_ENTITIES,
        "tokenizer": None,
        "llm_model_max_async": 1,
    }
    (found,) = await lightrag().operate.extract_entities({"chunk-1": chunk}, config)

    extraction, gateway = await extracted(GOOD)
    system, user = gateway.tasks[0].messages
    assert (system.role, user.role) == ("system", "user")
    assert asked == [(user.text, system.text)]
    assert TEXT in user.text
    nodes, edges = found
    assert list(nodes) == [mention.name for mention in extraction.evidence.mentions]
    assert list(edges) == [(relation.source, relation.target) for relation in extraction.evidence.relations]


def test_braces_and_marks_in_a_text_are_only_text() -> None:
    text = "{input_text} {0} {{x}} %s \x00text\x00 ```"
    _, user = extractor(ScriptedGateway()).task_for(text, ASKED_FOR).messages
    assert user.text.count(text) == 1


def test_a_text_with_a_broken_character_can_be_sent() -> None:
    _, user = extractor(ScriptedGateway()).task_for("broken \ud800 text", ASKED_FOR).messages
    assert "broken ? text" in user.text


def test_an_extractor_is_named_by_its_first_model_and_accepts_all_of_them() -> None:
    of_all = extractor(ScriptedGateway())
    assert of_all.accepted == tuple(f"{IDENTITY}/{each}" for each in ("house/small", "cloud/flash", "cloud/plus"))
    assert of_all.name == extractor(ScriptedGateway(tiers=TIERS[:1])).name == f"{IDENTITY}/house/small"
    assert extractor(ScriptedGateway(), quality=Quality.HIGH).name == f"{IDENTITY}/cloud/plus"


def test_confidential_texts_are_read_by_local_models_only() -> None:
    local = extractor(ScriptedGateway(), classification=Classification.CONFIDENTIAL)
    assert local.accepted == (f"{IDENTITY}/house/small",)
    assert local.task_for(TEXT, ASKED_FOR).classification is Classification.CONFIDENTIAL
    with pytest.raises(ConfigurationError, match="may read confidential documents"):
        extractor(ScriptedGateway(tiers=TIERS[1:]), classification=Classification.CONFIDENTIAL)


async def test_the_one_who_answered_is_named() -> None:
    extraction, _ = await extracted(Says(answer(), by=("cloud", "flash")))
    assert extraction.extracted_by == f"{IDENTITY}/cloud/flash"


async def test_a_blank_text_is_not_asked_about() -> None:
    extraction, gateway = await extracted(text=" \n\t")
    assert extraction == Extraction(NOTHING, f"{IDENTITY}/house/small")
    assert gateway.tasks == []


TEMPLATE_ENTITY = {"name": "<entity_name>", "type": "<entity_type>", "description": "<entity_description>"}
TEMPLATE_RELATION = {**WROTE, "source": "<entity_name>", "target": "<related_entity_name>"}

BAD_ANSWERS = {
    "empty": Says(""),
    "only thinking": Says("<think>There is Ada.</think>"),
    "thinking without an end": Says(f"<think>Perhaps {answer()}", "length"),
    "prose": Says("Ada Lovelace wrote the first program."),
    "refusal": Says("I'm sorry, but I can't help with that."),
    "HTML": Says("<html><body>Bad gateway</body></html>"),
    "null": Says("null"),
    "empty object": Says("{}"),
    "array": Says(json.dumps([ADA, ENGINE])),
    "another shape": Says(json.dumps({"nodes": [ADA], "edges": [WROTE]})),
    "an object for a list": Says(json.dumps({"entities": {"Ada Lovelace": "Person"}, "relationships": []})),
    "text for a list": Says(json.dumps({"entities": [ADA], "relationships": "none"})),
    "names alone": Says(answer(["Ada Lovelace", "Analytical Engine"], [])),
    "other fields": Says(answer([{"entity_name": "Ada Lovelace", "entity_type": "Person"}], [])),
    "the template": Says(answer([TEMPLATE_ENTITY], [TEMPLATE_RELATION])),
    "LightRAG's text format": Says("entity<|#|>Ada Lovelace<|#|>Person<|#|>She wrote it.<|COMPLETE|>"),
    "cut off in the first entity": Says(answer()[:60], "length"),
    "cut off before the first entity": Says('{"entities": [', "length"),
}


@pytest.mark.parametrize("bad", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
async def test_a_bad_answer_is_asked_for_once_more(bad: Says) -> None:
    extraction, gateway = await extracted(bad, GOOD)
    assert extraction == Extraction(FOUND, f"{IDENTITY}/house/small")
    first, second = gateway.tasks
    assert "at most 100 total records" in first.messages[1].text
    assert "at most 50 total records" in second.messages[1].text
    assert TEXT in second.messages[1].text
    assert second.messages[1].text.rstrip().endswith('{"entities": [], "relationships": []}.')
    most = 4096 if bad.finish_reason == "length" else 2048
    assert (second.max_tokens, second.json_mode, second.asked_for) == (most, True, ASKED_FOR)


@pytest.mark.parametrize("bad", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
async def test_two_bad_answers_fail_the_passage_without_a_word_of_it(
    bad: Says, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(DocumentError) as caught:
        await extracted(Says(""), bad)
    assert caught.value.code is (FailureCode.CUT if bad.finish_reason == "length" else FailureCode.BAD_ANSWER)
    assert caught.value.retryable
    everything = "".join((str(caught.value), caplog.text, *capfd.readouterr()))
    for word in ("Ada", "SECRET", "Engine", "entity_name"):
        assert word not in everything


CUT = Says(answer()[:-30], "length")  # both entities and half a relation
PART = Extraction(ChunkEvidence(FOUND.mentions), f"{IDENTITY}/house/small", cut=True)


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS", "model_length", "abort", "stop"])
async def test_an_answer_that_was_cut_is_asked_for_once_more_with_more_room(reason: str) -> None:
    extraction, gateway = await extracted(Says(CUT.content, reason), GOOD)
    assert extraction == Extraction(FOUND, f"{IDENTITY}/house/small", cut=False)
    assert [task.max_tokens for task in gateway.tasks] == [2048, 4096]
    assert gateway.tasks[0].messages != gateway.tasks[1].messages  # so that an input as long as a context changes


async def test_a_whole_object_in_an_answer_that_its_provider_cut_loses_no_record() -> None:
    extraction, _ = await extracted(Says(answer(), "length"), Says(answer([ADA], []), "length"))
    assert extraction == Extraction(FOUND, f"{IDENTITY}/house/small", cut=True)


@pytest.mark.parametrize(
    "second",
    [
        CUT,
        Says("I'm sorry."),
        Says("", "length"),
        BudgetExhausted("No money.", remedy="wait."),
        ModelsUnavailable("Down.", remedy="wait."),
        DocumentError(FailureCode.BAD_ANSWER, "max_tokens is too large.", remedy="none."),
    ],
    ids=["cut", "refused", "empty", "no money", "down", "more than the model's most"],
)
async def test_of_answers_that_stay_cut_the_whole_records_are_used(second: Step) -> None:
    extraction, gateway = await extracted(CUT, second)
    assert extraction == PART
    assert len(gateway.tasks) == 2


@pytest.mark.parametrize(
    "error",
    [
        BudgetExhausted("No money.", remedy="wait."),
        ModelsUnavailable("Down.", remedy="wait."),
        ServiceError("The ledger is broken.", remedy="mend it."),
        ConfigurationError("No price.", remedy="add it."),
        DocumentError(FailureCode.CONTENT_REFUSED, "Refused.", remedy="none."),
        DocumentError(FailureCode.CONTEXT_TOO_LONG, "Too long.", remedy="none."),
        DocumentError(FailureCode.BAD_ANSWER, "Nobody answers well.", remedy="none."),
    ],
    ids=lambda error: getattr(error, "code", type(error).__name__),
)
@pytest.mark.parametrize("asked_before", [0, 1])
async def test_what_the_gateway_raises_is_raised(error: Exception, asked_before: int) -> None:
    gateway = ScriptedGateway([*[Says("")] * asked_before, error])
    with pytest.raises(type(error)) as caught:
        await extractor(gateway).extract(TEXT, ASKED_FOR)
    assert caught.value is error


async def test_cancelling_leaves_no_task_running() -> None:
    gateway = ScriptedGateway([Hangs()])
    before = asyncio.all_tasks()
    reading = asyncio.ensure_future(extractor(gateway).extract(TEXT, ASKED_FOR))
    await gateway.asked.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert asyncio.all_tasks() == before
