"""Tokens are what the provider says, in its own shape; counted and flagged only where it says nothing."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from aegis_dagster.domain.llm import LLMTask, Message, Picture, TaskType
from aegis_dagster.domain.prices import FREE, Price, Tier, Usage
from aegis_dagster.llm.answer import Answer
from aegis_dagster.llm.client import Wire
from aegis_dagster.llm.providers import Model, Provider
from aegis_dagster.llm.token_usage import count_tokens, counted_input, most_tokens, read_usage
from aegis_dagster_tests.support.asking import PATIENCE
from aegis_dagster_tests.support.llm_server import Behaviour, Dialect, LLMServer, UsageShape, scripted_server

PROMPT = "What do the documents say about confidential bridges, and who signed them last spring?"  # 14 words
REPLY = "Nobody signed any of them, as far as these documents tell."  # 11 words
# The wire switches it off for the process; pytest switches it on again for each test.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
ONE_RATE = Price(tiers=(Tier(None, 1000, 1000, 1000, 1000),), version="t")
MODEL = Model("scripted", frozenset())
CHAT = LLMTask(TaskType.SUMMARY, messages=(Message("user", PROMPT),), max_tokens=100)
EMBEDDING = LLMTask(TaskType.EMBEDDING, texts=("one two three", "four five"))
COUNTED_IN, COUNTED_OUT = 27, 15  # by our estimate: 86 characters / 4 + 5 for the message, 58 / 4


@pytest.fixture(scope="module")
def server() -> Iterator[LLMServer]:
    with scripted_server() as running:
        yield running


async def asked(wire: Wire, server: LLMServer, behaviour: Behaviour, task: LLMTask = CHAT) -> Usage:
    server.script([behaviour])
    provider = Provider("p", server.v1, "key", timeout_seconds=PATIENCE)
    return read_usage(task, await wire.call(provider, MODEL, task), ONE_RATE)


def reply(dialect: Dialect, **more: Any) -> Behaviour:
    return Behaviour(dialect=dialect, text=REPLY, **more)


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (UsageShape.FULL, Usage(14, 0, 11, 0)),
        (UsageShape.ABSENT, Usage(COUNTED_IN, 0, COUNTED_OUT, 0, estimated=True)),
        (UsageShape.NULL, Usage(COUNTED_IN, 0, COUNTED_OUT, 0, estimated=True)),
        (UsageShape.EMPTY, Usage(COUNTED_IN, 0, COUNTED_OUT, 0, estimated=True)),
        (UsageShape.ZEROS, Usage(COUNTED_IN, 0, COUNTED_OUT, 0, estimated=True)),
        (UsageShape.TOTAL_ONLY, Usage(16, 0, 9, 0, estimated=True)),  # 25 x 27 / 42 = 16.07
        (UsageShape.INPUT_ONLY, Usage(14, 0, COUNTED_OUT, 0, estimated=True)),
        (UsageShape.OUTPUT_ONLY, Usage(COUNTED_IN, 0, 11, 0, estimated=True)),
    ],
)
async def test_usage_is_read_as_it_is_told_over_http(
    wire: Wire, server: LLMServer, dialect: Dialect, shape: UsageShape, expected: Usage
) -> None:
    assert await asked(wire, server, reply(dialect, usage=shape)) == expected


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (Dialect.OPENAI, Usage(14, 6, 31, 20)),
        (Dialect.DASHSCOPE, Usage(14, 6, 31, 20)),
        (Dialect.OLLAMA, Usage(14, 0, 31, 0)),  # tells neither; its output holds the reasoning
    ],
)
async def test_cached_and_reasoning_tokens_are_told_apart_over_http(
    wire: Wire, server: LLMServer, dialect: Dialect, expected: Usage
) -> None:
    assert await asked(wire, server, reply(dialect, cached_tokens=6, reasoning_tokens=20)) == expected


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (UsageShape.FULL, Usage(5, 0, 0, 0)),
        (UsageShape.TOTAL_ONLY, Usage(5, 0, 0, 0)),  # there is no output: the total is the input
        (UsageShape.INPUT_ONLY, Usage(5, 0, 0, 0)),
        (UsageShape.ABSENT, Usage(7, 0, 0, 0, estimated=True)),  # 13 / 4 and 9 / 4, rounded up
        (UsageShape.ZEROS, Usage(7, 0, 0, 0, estimated=True)),
    ],
)
async def test_the_usage_of_embeddings_over_http(
    wire: Wire, server: LLMServer, shape: UsageShape, expected: Usage
) -> None:
    assert await asked(wire, server, Behaviour(usage=shape), EMBEDDING) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        # OpenAI's newer names, and Ollama's own
        ({"input_tokens": 14, "output_tokens": 11, "total_tokens": 25}, Usage(14, 0, 11, 0)),
        (
            {
                "input_tokens": 14,
                "input_tokens_details": {"cached_tokens": 4},
                "output_tokens": 11,
                "output_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(14, 4, 11, 3),
        ),
        ({"prompt_eval_count": 14, "eval_count": 11}, Usage(14, 0, 11, 0)),
        ({"prompt_eval_count": 14}, Usage(14, 0, COUNTED_OUT, 0, estimated=True)),
        ({"prompt_eval_count": 0, "eval_count": 11}, Usage(COUNTED_IN, 0, 11, 0, estimated=True)),
        # one half and the total say the other
        ({"prompt_tokens": 14, "total_tokens": 25}, Usage(14, 0, 11, 0)),
        ({"completion_tokens": 11, "total_tokens": 25}, Usage(14, 0, 11, 0)),
        ({"prompt_tokens": 14, "completion_tokens": None, "total_tokens": 25}, Usage(14, 0, 11, 0)),
        ({"prompt_tokens": 14, "total_tokens": 14}, Usage(14, 0, COUNTED_OUT, 0, estimated=True)),
        # reasoning that stands in the total alone is output
        (
            {
                "prompt_tokens": 14,
                "completion_tokens": 11,
                "total_tokens": 75,
                "completion_tokens_details": {"reasoning_tokens": 50},
            },
            Usage(14, 0, 61, 50),
        ),
        # numbers that contradict each other
        ({"prompt_tokens": 14, "completion_tokens": 11, "total_tokens": 75}, Usage(14, 0, 61, 0, estimated=True)),
        ({"prompt_tokens": 14, "completion_tokens": 11, "total_tokens": 20}, Usage(14, 0, 11, 0, estimated=True)),
        (
            {"prompt_tokens": 14, "completion_tokens": 11, "prompt_tokens_details": {"cached_tokens": 15}},
            Usage(14, 14, 11, 0, estimated=True),
        ),
        (
            {"prompt_tokens": 14, "completion_tokens": 11, "completion_tokens_details": {"reasoning_tokens": 12}},
            Usage(14, 0, 23, 12, estimated=True),
        ),
        ({"prompt_tokens": -14, "completion_tokens": 11}, Usage(COUNTED_IN, 0, 11, 0, estimated=True)),
        # a whole number in another form is what the provider says, and flagged
        ({"prompt_tokens": "14", "completion_tokens": 11}, Usage(14, 0, 11, 0, estimated=True)),
        ({"prompt_tokens": 14.0, "completion_tokens": 11}, Usage(14, 0, 11, 0, estimated=True)),
        ({"prompt_tokens": 14.5, "completion_tokens": 11}, Usage(COUNTED_IN, 0, 11, 0, estimated=True)),
        ({"prompt_tokens": "many", "completion_tokens": 11}, Usage(COUNTED_IN, 0, 11, 0, estimated=True)),
        ({"prompt_tokens": True, "completion_tokens": 11}, Usage(COUNTED_IN, 0, 11, 0, estimated=True)),
        (
            {"prompt_tokens": 14, "completion_tokens": 11, "prompt_tokens_details": {"cached_tokens": "6"}},
            Usage(14, 6, 11, 0, estimated=True),
        ),
        # what is null or no object says nothing
        (
            {"prompt_tokens": 14, "completion_tokens": 11, "prompt_tokens_details": None, "total_tokens": None},
            Usage(14, 0, 11, 0),
        ),
    ],
)
async def test_other_shapes_and_contradictions_over_http(
    wire: Wire, server: LLMServer, told: dict[str, Any], expected: Usage
) -> None:
    assert await asked(wire, server, reply(Dialect.OPENAI, usage_fields=told)) == expected


def test_an_empty_answer_may_have_taken_no_output() -> None:
    told = {"prompt_tokens": 14, "completion_tokens": 0, "total_tokens": 14}
    assert read_usage(CHAT, Answer("", "stop", told), ONE_RATE) == Usage(14, 0, 0, 0)


def test_estimated_usage_is_logged_once_and_without_content(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "aegis_dagster")
    read_usage(CHAT, Answer(REPLY, "stop", None), ONE_RATE)
    read_usage(CHAT, Answer(REPLY, "stop", None), FREE)
    read_usage(CHAT, Answer(REPLY, "stop", {"prompt_tokens": 14, "completion_tokens": 11}), ONE_RATE)
    why = "no input tokens were given, they are counted; no output tokens were given, they are counted"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"usage of a call for summary: {why}"),
        ("INFO", f"usage of a call for summary: {why}"),
    ]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("abcd", 1),
        ("abcde", 2),
        ("数据传输", 4),
        ("данные", 3),
        ("ab数据", 3),  # 2 / 4 + 2
    ],
)
def test_a_token_is_four_letters_or_one_chinese_character(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


def test_a_picture_counts_for_its_size() -> None:
    picture = Picture(b"", "image/jpeg", width=560, height=281)
    task = LLMTask(TaskType.IMAGE_DESCRIPTION, messages=(Message("user", "abcd"),), picture=picture)
    assert counted_input(task) == 1 + 5 + 20 * 11 + 2


def test_the_upper_bound_is_a_token_for_each_byte_and_then_the_template() -> None:
    assert most_tokens(CHAT, MODEL) == len(PROMPT) + len("user") + 64 + 16
    assert most_tokens(EMBEDDING, MODEL) == 13 + 9 + 64 + 2 * 8
    picture = Picture(b"", "image/jpeg", width=10, height=10)
    looked = LLMTask(TaskType.IMAGE_DESCRIPTION, messages=CHAT.messages, picture=picture)
    assert most_tokens(looked, Model("m", frozenset(), picture_tokens=777)) == most_tokens(CHAT, MODEL) + 777


def test_the_upper_bound_knows_that_some_tokenizers_spell_characters_out() -> None:
    ligature = LLMTask(TaskType.EMBEDDING, texts=("\ufdfa",))  # one character, 18 letters when normalised
    assert most_tokens(ligature, MODEL) == 33 + 64 + 8
    chinese = LLMTask(TaskType.EMBEDDING, texts=("数据",))
    assert most_tokens(chinese, MODEL) == 6 + 64 + 8
