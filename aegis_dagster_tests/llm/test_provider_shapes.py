"""What providers say about their tokens, each in its own shape, costs what stands on their bill."""

from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.domain.llm import TaskType
from aegis_dagster.domain.prices import FREE, Price, Tier, Usage
from aegis_dagster.llm.answer import Answer
from aegis_dagster.llm.prices import PriceList
from aegis_dagster.llm.providers import Model
from aegis_dagster.llm.token_usage import read_usage
from aegis_dagster_tests.support.asking import ALL_TASKS, PRICE, ask_for, desk, provider
from aegis_dagster_tests.support.llm_server import Behaviour, LLMServer

REPLY = Answer("five words that say little", "stop", None)
ONE_RATE = Price(tiers=(Tier(None, 1000, 1000, 1000, 1000),), version="t")
LUNA = PriceList().price("openai", "gpt-5.6-luna")
QWEN = PriceList().price("dashscope", "qwen-plus")
WRITES_COST_MORE = Price(tiers=(Tier(None, 1000, 100, 3000, 3000, cache_write=1250),), version="t")


def read(usage: dict[str, Any], price: Price = ONE_RATE, answer: Answer = REPLY) -> Usage:
    return read_usage(ask_for(), Answer(answer.content, "stop", usage, reasoning=answer.reasoning), price)


def tokens(of: Usage) -> tuple[int, int, int, int, int]:
    return of.input_tokens, of.cached_tokens, of.cache_write_tokens, of.output_tokens, of.reasoning_tokens


def openai(input_tokens: int = 2500, output_tokens: int = 100, **details: Any) -> dict[str, Any]:
    """OpenAI's usage; details of the input."""
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
        "prompt_tokens_details": details,
    }


# The usage, then (input, read from the cache, written to it, output, reasoning).
SHAPES: dict[str, tuple[dict[str, Any], tuple[int, int, int, int, int]]] = {
    "OpenAI, written": (openai(cached_tokens=0, cache_write_tokens=2432), (2500, 0, 2432, 100, 0)),
    "OpenAI, read and written": (openai(cached_tokens=1024, cache_write_tokens=1024), (2500, 1024, 1024, 100, 0)),
    "OpenAI, reasoning": (
        {**openai(), "completion_tokens_details": {"reasoning_tokens": 64, "audio_tokens": None}},
        (2500, 0, 0, 100, 64),
    ),
    "OpenAI responses": (
        {
            "input_tokens": 2500,
            "input_tokens_details": {"cached_tokens": 2048},
            "output_tokens": 100,
            "output_tokens_details": {"reasoning_tokens": 64},
            "total_tokens": 2600,
        },
        (2500, 2048, 0, 100, 64),
    ),
    "DeepSeek": (
        {
            "prompt_tokens": 2500,
            "completion_tokens": 100,
            "total_tokens": 2600,
            "prompt_cache_hit_tokens": 2048,
            "prompt_cache_miss_tokens": 452,
        },
        (2500, 2048, 0, 100, 0),
    ),
    "DeepSeek, both forms": (
        {**openai(cached_tokens=2048), "prompt_cache_hit_tokens": 2048, "prompt_cache_miss_tokens": 452},
        (2500, 2048, 0, 100, 0),
    ),
    "DeepSeek, parts alone": (
        {"prompt_cache_hit_tokens": 2048, "prompt_cache_miss_tokens": 452, "completion_tokens": 100},
        (2500, 2048, 0, 100, 0),
    ),
    "Kimi": ({**openai(), "cached_tokens": 2048}, (2500, 2048, 0, 100, 0)),
    "Anthropic": (
        {
            "input_tokens": 68,
            "cache_creation_input_tokens": 2432,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 2432, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 100,
        },
        (2500, 0, 2432, 100, 0),
    ),
    "Anthropic, all of it cached": (
        {"input_tokens": 0, "cache_read_input_tokens": 2500, "output_tokens": 100},
        (2500, 2500, 0, 100, 0),
    ),
    "Anthropic through a proxy that includes the cache": (
        {**openai(), "cache_creation_input_tokens": 432, "cache_read_input_tokens": 2000},
        (2500, 2000, 432, 100, 0),
    ),
    "Anthropic through a proxy that leaves the cache out": (
        {
            "prompt_tokens": 2500,
            "completion_tokens": 100,
            "total_tokens": 4600,
            "cache_read_input_tokens": 2000,
        },
        (4500, 2000, 0, 100, 0),
    ),
    "Anthropic through a proxy that leaves the cache out, also of the total": (
        {**openai(68), "cache_read_input_tokens": 2432},
        (2500, 2432, 0, 100, 0),
    ),
    "DashScope, explicit cache": (
        openai(cache_creation_input_tokens=2432, cached_tokens=0, cache_type="ephemeral"),
        (2500, 0, 2432, 100, 0),
    ),
    "DashScope, only the lifetime": (
        openai(cache_creation={"ephemeral_5m_input_tokens": 2432}),
        (2500, 0, 2432, 100, 0),
    ),
    "xAI, reasoning on top": (
        {**openai(), "total_tokens": 2664, "completion_tokens_details": {"reasoning_tokens": 64}},
        (2500, 0, 0, 164, 64),
    ),
    "Perplexity": ({**openai(), "reasoning_tokens": 64}, (2500, 0, 0, 100, 64)),
    "nulls": (
        {**openai(cached_tokens=None), "prompt_cache_hit_tokens": None, "completion_tokens_details": None},
        (2500, 0, 0, 100, 0),
    ),
}


@pytest.mark.parametrize("shape", list(SHAPES))
def test_every_shape_is_read_without_a_guess(shape: str) -> None:
    usage, expected = SHAPES[shape]
    found = read(usage, WRITES_COST_MORE if expected[2] else ONE_RATE)
    assert (tokens(found), found.estimated) == (expected, False)


# Numbers that are no numbers, or contradict each other: what is possible is taken, the row is flagged.
ODD: dict[str, tuple[dict[str, Any], tuple[int, int, int, int, int]]] = {
    "texts": (
        {"prompt_tokens": "2500", "completion_tokens": "100", "prompt_tokens_details": {"cached_tokens": "2048.0"}},
        (2500, 2048, 0, 100, 0),
    ),
    "floats": ({"prompt_tokens": 2500.0, "completion_tokens": 100.0}, (2500, 0, 0, 100, 0)),
    "more cached than input": (openai(cached_tokens=9999), (2500, 2500, 0, 100, 0)),
    "more read and written than input": (
        openai(cached_tokens=2000, cache_write_tokens=2000),
        (2500, 500, 2000, 100, 0),
    ),
    "negative": (openai(cached_tokens=-5), (2500, 0, 0, 100, 0)),
    "truth": (openai(cached_tokens=True), (2500, 0, 0, 100, 0)),
    "a list": (openai(cached_tokens=[2048]), (2500, 0, 0, 100, 0)),
    "not a number": (openai(cached_tokens=float("nan")), (2500, 0, 0, 100, 0)),
    "two different numbers": ({**openai(cached_tokens=2048), "cached_tokens": 1024}, (2500, 1024, 0, 100, 0)),
    "hits and misses that are not the input": (
        {**openai(), "prompt_cache_hit_tokens": 2048, "prompt_cache_miss_tokens": 10},
        (2500, 2048, 0, 100, 0),
    ),
    "an hour's cache": (
        {"input_tokens": 68, "cache_creation": {"ephemeral_1h_input_tokens": 432}, "output_tokens": 100}
        | {"cache_creation_input_tokens": 432},
        (500, 0, 432, 100, 0),
    ),
}


@pytest.mark.parametrize("shape", list(ODD))
def test_odd_numbers_are_reduced_to_what_is_possible_and_flagged(shape: str) -> None:
    usage, expected = ODD[shape]
    found = read(usage, WRITES_COST_MORE)
    assert (tokens(found), found.estimated) == (expected, True)


@pytest.mark.parametrize("huge", [10**9, 10**30, float("inf")])
def test_a_number_that_no_model_can_reach_is_not_believed(huge: float) -> None:
    found = read(openai() | {"prompt_tokens": huge, "total_tokens": None})
    assert (found.input_tokens, found.estimated) == (read({}).input_tokens, True)


@pytest.mark.parametrize(
    ("price", "usage", "flagged"),
    [
        (WRITES_COST_MORE, openai(), True),  # nothing is told about writing, which costs more
        (WRITES_COST_MORE, openai(cache_write_tokens=0), False),
        (ONE_RATE, openai(), False),
        (ONE_RATE, openai(cache_write_tokens=5), True),  # written, at a rate that nobody knows
        (FREE, openai(cache_write_tokens=5), False),
    ],
)
def test_a_rate_for_writing_without_a_number_is_flagged_and_a_number_without_a_rate(
    price: Price, usage: dict[str, Any], flagged: bool
) -> None:
    assert read(usage, price).estimated is flagged


def test_reasoning_that_is_shown_and_not_told_is_counted_at_its_own_rate_and_flagged() -> None:
    thought = Answer("yes", "stop", None, reasoning="a" * 40)
    assert read(openai(), PRICE, thought) == Usage(2500, 0, 100, 10, estimated=True)
    assert read(openai(), PRICE, Answer(f"<think>{'a' * 33}</think>yes", "stop", None)).reasoning_tokens == 10
    assert read(openai(), ONE_RATE, thought) == Usage(2500, 0, 100, 0)
    told = {**openai(), "completion_tokens_details": {"reasoning_tokens": 64}}
    assert read(told, PRICE, thought) == Usage(2500, 0, 100, 64)


@pytest.mark.parametrize(
    ("name", "model", "usage", "nano_usd"),
    [
        ("openai", "gpt-5.6-luna", openai(cached_tokens=0, cache_write_tokens=2432), 741_600),
        (
            "dashscope",
            "qwen-plus",
            {
                "prompt_tokens": 2000,
                "completion_tokens": 1000,
                "total_tokens": 3000,
                "completion_tokens_details": {"reasoning_tokens": 600, "text_tokens": 400},
            },
            4_800_000,
        ),
        ("deepseek", "deepseek-chat", SHAPES["DeepSeek"][0], 225_904),
    ],
)
async def test_the_ledger_says_what_the_bill_says(
    tmp_path: Path, cloud: LLMServer, name: str, model: str, usage: dict[str, Any], nano_usd: int
) -> None:
    cloud.script([Behaviour(usage_fields=usage)])
    paid = provider(name, cloud.v1, models={model: Model(model, ALL_TASKS)})
    at = desk(tmp_path, [paid], prices={})
    response = await at.gateway.ask(ask_for(max_tokens=1000))
    [row] = at.rows()
    assert (response.cost, row["cost_nanousd"], row["estimated"]) == (nano_usd, nano_usd, 0)
    assert row["cache_write_tokens"] == response.usage.cache_write_tokens
    assert at.rolled_up() == nano_usd
    await at.aclose()


@pytest.mark.parametrize(
    "usage",
    [
        {"cached_tokens": 0, "cache_write_tokens": 10**6},
        {"cached_tokens": 10**6},
        {},
    ],
)
async def test_no_call_costs_more_than_was_reserved_however_it_is_cached(
    tmp_path: Path, cloud: LLMServer, usage: dict[str, Any]
) -> None:
    cloud.script([Behaviour(**usage)])
    at = desk(tmp_path, [provider("cloud", cloud.v1)], prices={("cloud", "cloud-model"): WRITES_COST_MORE})
    await at.gateway.ask(ask_for(TaskType.SUMMARY))
    [row] = at.rows()
    assert row["cost_nanousd"] <= row["reserved_nanousd"]
    await at.aclose()


def test_litellms_map_gives_each_kind_of_token_its_rate_in_every_tier() -> None:
    assert LUNA is not None and QWEN is not None
    assert [(one.up_to, one.cache_write, one.cached) for one in LUNA.tiers] == [
        (272_000, 250 * 10**6, 20 * 10**6),
        (None, 500 * 10**6, 40 * 10**6),
    ]
    assert QWEN.reasoning_for_all and not LUNA.reasoning_for_all
    deepseek = PriceList().price("deepseek", "deepseek-chat")
    assert deepseek is not None and not deepseek.cache_writes_priced  # its map says 0: unknown, not free
    latest = PriceList().price("dashscope", "qwen-plus-latest")
    assert latest is not None and latest.reasoning_for_all
    assert [one.reasoning for one in latest.tiers] == [4000 * 10**6, 12_000 * 10**6]
