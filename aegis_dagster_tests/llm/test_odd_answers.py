"""A 200 that says what it used is settled with that, whatever else is odd; and who is asked next."""

import json
from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.domain.llm import LLMTask, TaskType
from aegis_dagster.llm.retry_policy import ErrorType
from aegis_dagster_tests.support.asking import (
    ANSWER_COST,
    INPUT,
    OUTPUT,
    REASONING,
    TEXT,
    ask_for,
    desk,
    most,
    provider,
)
from aegis_dagster_tests.support.llm_server import Behaviour, LLMServer, Rule, UsageShape, packed

EMBEDDING = LLMTask(TaskType.EMBEDDING, texts=("one two three", "four five"))  # 5 words
ONE, OTHER = [0.25, 0.5], [0.75, 1.0]
USED = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}


def message(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": fields, "finish_reason": "stop"}]}


def raw(text: str) -> Behaviour:
    return Behaviour(raw=text)


def whole(**fields: Any) -> str:
    return json.dumps({**message(content="fine"), "usage": USED, **fields})


def data(*vectors: Any) -> dict[str, Any]:
    return {"data": [{"index": number, "embedding": each} for number, each in enumerate(vectors)]}


ANSWERED = {
    "parts": (
        Behaviour(body_fields=message(content=[{"type": "text", "text": "one "}, {"type": "text", "text": "two"}])),
        "one two",
    ),
    "no text": (Behaviour(body_fields=message(role="assistant")), ""),
    "no error": (Behaviour(body_fields={"error": None}), TEXT),
    "an empty error": (
        Behaviour(body_fields={"error": {"code": 0, "message": ""}}),
        TEXT,
    ),
    "bytes that are no text": (raw(whole().replace("fine", "caf\xe9")), "caf\ufffd"),
    "usage in the choice": (
        raw(json.dumps({"choices": [{**message(content="fine")["choices"][0], "usage": USED}]})),
        "fine",
    ),
    "usage twice, the second empty": (raw(whole()[:-1] + ', "usage": {}}'), "fine"),
}


@pytest.mark.parametrize("name", list(ANSWERED))
async def test_an_odd_answer_that_can_be_read_is_an_answer(tmp_path: Path, cloud: LLMServer, name: str) -> None:
    behaviour, content = ANSWERED[name]
    cloud.script([behaviour])
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    response = await at.gateway.ask(ask_for())
    assert (response.content, response.cost) == (content, ANSWER_COST)
    assert at.endings() == [("cloud", "ok", "settled", ANSWER_COST)]
    await at.aclose()


@pytest.mark.parametrize(
    ("fields", "content", "thoughts"),
    [
        ({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]}, "a", 1),
        ({"content": None, "reasoning_content": "hm, let me see"}, "", 4),
        ({"content": None, "reasoning": "hm, let me see"}, "", 4),
    ],
)
async def test_thoughts_are_no_content_and_pay_their_rate_though_nobody_counts_them(
    tmp_path: Path, cloud: LLMServer, fields: dict[str, Any], content: str, thoughts: int
) -> None:
    cloud.script([Behaviour(body_fields=message(**fields))])
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    response = await at.gateway.ask(ask_for())
    cost = 7 * INPUT + (5 - thoughts) * OUTPUT + thoughts * REASONING
    assert (response.content, response.cost, response.usage.estimated) == (content, cost, True)
    assert at.endings() == [("cloud", "ok", "settled", cost)]
    await at.aclose()


async def test_a_model_that_refuses_in_words_has_refused(tmp_path: Path, local: LLMServer, cloud: LLMServer) -> None:
    cloud.script([Behaviour(body_fields=message(content=None, refusal="I cannot help with that."))])
    at = desk(tmp_path, [provider("first", cloud.v1), provider("second", local.v1)])
    assert (await at.gateway.ask(ask_for())).provider == "second"
    assert at.endings()[0] == ("first", ErrorType.CONTENT_REFUSED, "settled", ANSWER_COST)
    await at.aclose()


# What the first provider sends, how its calls end, what each costs, and whether it is asked twice.
ERRORS: dict[str, tuple[dict[str, Any], ErrorType, bool]] = {
    "429": ({"error": {"message": "slow down", "code": 429}}, ErrorType.RATE_LIMIT, True),
    "429 as text": ({"error": {"message": "slow down", "code": "429"}}, ErrorType.RATE_LIMIT, True),
    "429 beside the error": ({"error": "slow down", "code": 429}, ErrorType.RATE_LIMIT, True),
    "401": ({"error": {"message": "who are you?", "code": 401}}, ErrorType.AUTH, False),
    "402": ({"error": {"message": "pay", "code": 402}}, ErrorType.QUOTA_EXHAUSTED, False),
    "404": ({"error": {"message": "no such model", "code": 404}}, ErrorType.NOT_FOUND, False),
    "500": ({"error": {"message": "oops", "status": 500}}, ErrorType.SERVER_ERROR, True),
    "400": ({"error": {"message": "no", "code": 400}}, ErrorType.BAD_REQUEST, False),
    "too long": ({"error": {"message": "no", "code": "context_length_exceeded"}}, ErrorType.CONTEXT_WINDOW, False),
    "type alone": ({"error": {"message": "no", "type": "rate_limit_error"}}, ErrorType.RATE_LIMIT, True),
    "DashScope": ({"code": "InvalidApiKey", "message": "no", "request_id": "1"}, ErrorType.AUTH, False),
    "in the choice": ({"choices": [{"error": {"code": 502, "message": "no"}}]}, ErrorType.SERVER_ERROR, True),
}


@pytest.mark.parametrize("states", [False, True], ids=["without usage", "with usage"])
@pytest.mark.parametrize("name", list(ERRORS))
async def test_an_error_in_a_200_is_what_its_code_says(
    tmp_path: Path, local: LLMServer, cloud: LLMServer, name: str, states: bool
) -> None:
    body, error, again = ERRORS[name]
    cloud.script([Rule(raw(json.dumps(body | ({"usage": USED} if states else {}))))])
    at = desk(tmp_path, [provider("first", cloud.v1), provider("second", local.v1)])
    response = await at.gateway.ask(ask_for())
    assert response.provider == "second"
    paid = ANSWER_COST if states else 0
    calls = 2 if again else 1
    assert at.endings() == [("first", error, "settled", paid)] * calls + [("second", "ok", "settled", ANSWER_COST)]
    await at.aclose()


UNREADABLE = {
    "no choices": Behaviour(body_fields={"choices": None}),
    "an empty choice": Behaviour(body_fields={"choices": [{}]}),
    "a number for text": Behaviour(body_fields=message(content=42)),
    "an error without a code": Behaviour(body_fields={"error": {"message": "something happened"}}),
    "an error that is a text": Behaviour(body_fields={"error": "something happened"}),
    "broken off behind the usage": raw(
        '{"choices": [{"message": {"content": "\\"usage\\": {}"}}], "usage": ' + json.dumps(USED)
    ),
    "a stream of events": raw(
        f'data: {{"choices": []}}\n\ndata: {{"choices": [], "usage": {json.dumps(USED)}}}\n\ndata: [DONE]'
    ),
    "too deep, and no text": raw(whole()[:-1] + ', "x": "\xe9", "y": ' + "[" * 100_000),
    "too deep": raw(whole()[:-1] + ', "x": ' + "[" * 100_000),
}


@pytest.mark.parametrize("name", list(UNREADABLE))
async def test_an_answer_that_cannot_be_used_costs_what_it_says(
    tmp_path: Path, local: LLMServer, cloud: LLMServer, name: str
) -> None:
    cloud.script([Rule(UNREADABLE[name])])
    at = desk(tmp_path, [provider("first", cloud.v1), provider("second", local.v1)])
    await at.gateway.ask(ask_for())
    unusable = ("first", ErrorType.BAD_RESPONSE, "settled", ANSWER_COST)
    assert at.endings() == [unusable, unusable, ("second", "ok", "settled", ANSWER_COST)]
    assert [(row["input_tokens"], row["output_tokens"], row["estimated"]) for row in at.rows()] == [(7, 5, 0)] * 3
    await at.aclose()


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"prompt_tokens": 7}, 7 * INPUT + 20 * OUTPUT),  # as much output as was allowed
        ({"prompt_tokens": 7, "completion_tokens": 0}, 7 * INPUT),
        ({"prompt_tokens": 7, "total_tokens": 12}, ANSWER_COST),
    ],
)
async def test_what_an_unusable_answer_leaves_open_is_counted_at_its_most(
    tmp_path: Path, cloud: LLMServer, usage: dict[str, int], cost: int
) -> None:
    cloud.script([Behaviour(usage_fields=usage, body_fields={"choices": None}), Behaviour()])
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    await at.gateway.ask(ask_for())
    assert at.endings()[0] == ("cloud", ErrorType.BAD_RESPONSE, "settled", cost)
    await at.aclose()


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(usage=UsageShape.ABSENT, body_fields={"choices": []}),
        Behaviour(usage=UsageShape.ZEROS, body_fields={"choices": []}),
        Behaviour(usage_fields={"prompt_tokens": "many"}, body_fields={"choices": []}),
        Behaviour(usage_fields={"prompt_tokens": 10**400}, body_fields={"choices": []}),
        raw("[1, 2]"),
        raw('{"error": "something happened"}'),
        raw('{"choices": [{"message": {"content": "\\"usage\\": {\\"prompt_tokens\\": 1}'),  # the model's own words
    ],
)
async def test_the_reservation_is_kept_where_nothing_tells_what_was_used(
    tmp_path: Path, cloud: LLMServer, behaviour: Behaviour
) -> None:
    cloud.script([behaviour, Behaviour()])
    one = provider("cloud", cloud.v1)
    at = desk(tmp_path, [one])
    await at.gateway.ask(ask_for())
    assert at.endings()[0] == ("cloud", ErrorType.BAD_RESPONSE, "unknown", most(one, ask_for()))
    await at.aclose()


async def test_of_a_number_that_stands_there_twice_the_larger_one_is_paid_and_flagged(
    tmp_path: Path, cloud: LLMServer
) -> None:
    twice = '{"prompt_tokens": 7, "completion_tokens": 5, "prompt_tokens": 3}'
    cloud.script([raw(whole().replace(json.dumps(USED), twice))])
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    assert (await at.gateway.ask(ask_for())).cost == ANSWER_COST
    assert at.rows()[0]["estimated"] == 1
    await at.aclose()


NO_VECTORS = {
    "not a number": data([float("nan"), 0.5], OTHER),
    "endless": data([float("inf"), 0.5], OTHER),
    "too large for a store": data([1e39, 0.5], OTHER),
    "one is missing": data(ONE),
    "none": data(),
    "no data": {"data": None},
    "one is null": data(ONE, None),
    "a number is null": data(ONE, [None, 0.5]),
    "an empty one": data(ONE, []),
    "of another size": data(ONE, [0.5]),
    "a word": data(ONE, ["half", "0.5"]),
    "a text among numbers": data(ONE, [0.5, "0.5"]),
    "no base64": data(packed((0.25, 0.5)), "!!"),
    "base64 of half a number": data(packed((0.25, 0.5)), "AAA="),
    "numbers that contradict": {"data": [{"index": 1, "embedding": ONE}, {"index": 2, "embedding": OTHER}]},
}


@pytest.mark.parametrize("name", list(NO_VECTORS))
async def test_vectors_that_cannot_be_used_cost_what_the_answer_says(
    tmp_path: Path, cloud: LLMServer, name: str
) -> None:
    cloud.script([Behaviour(body_fields=NO_VECTORS[name]), Behaviour()])
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    assert len((await at.gateway.ask(EMBEDDING)).vectors) == 2
    unusable = ("cloud", ErrorType.BAD_RESPONSE, "settled", 5 * INPUT)
    assert at.endings() == [unusable, ("cloud", "ok", "settled", 5 * INPUT)]
    await at.aclose()


VECTORS = {
    "base64": data(packed((0.25, 0.5)), packed((0.75, 1.0))),
    "texts": data(["0.25", "0.5"], ["0.75", "1"]),
    "without numbers": {"data": [{"embedding": ONE}, {"embedding": OTHER}]},
    "always number 0": {"data": [{"index": 0, "embedding": ONE}, {"index": 0, "embedding": OTHER}]},
    "in another order": {"data": [{"index": 1, "embedding": OTHER}, {"index": 0, "embedding": ONE}]},
}


@pytest.mark.parametrize("name", list(VECTORS))
async def test_vectors_in_another_form_are_read(tmp_path: Path, cloud: LLMServer, name: str) -> None:
    cloud.script([Behaviour(body_fields=VECTORS[name])])
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    assert (await at.gateway.ask(EMBEDDING)).vectors == ((0.25, 0.5), (0.75, 1.0))
    await at.aclose()


async def test_an_error_status_that_states_usage_costs_it(tmp_path: Path, cloud: LLMServer) -> None:
    failed = {"error": {"message": "oops"}, "usage": USED}
    cloud.script([Behaviour(raw=json.dumps(failed), status=500), Behaviour()])
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    await at.gateway.ask(ask_for())
    assert at.endings()[0] == ("cloud", ErrorType.SERVER_ERROR, "settled", ANSWER_COST)
    await at.aclose()
