"""Prices: exact, in the right order, never silently zero."""

from datetime import date
from decimal import InvalidOperation

import pytest
import yaml

from aegis_dagster.domain.prices import Price, Tier, Usage, cost
from aegis_dagster.llm.litellm_chat import load_litellm
from aegis_dagster.llm.price_table import AS_OF, MOST_PICTURE_TOKENS, TABLE, VERSION, rate, tier
from aegis_dagster.llm.prices import PriceList, lines_to_add, litellm_prices, price_of_entry

MILLION_TOKENS = 1_000_000
USD = 1_000_000_000


def usd_tiers(price: Price) -> list[tuple[int | None, str, str, str, str]]:
    """Tiers as a reader of the price page sees them."""
    return [
        (
            one.up_to,
            f"{one.input / USD:g}",
            f"{one.cached / USD:g}",
            f"{one.output / USD:g}",
            f"{one.reasoning / USD:g}",
        )
        for one in price.tiers
    ]


@pytest.mark.parametrize(
    ("written", "nano"), [("0.05", 50_000_000), ("0.005", 5_000_000), ("12.00", 12 * USD), ("0.0000000001", 1)]
)
def test_a_rate_is_exact_and_what_is_smaller_than_a_nano_usd_is_rounded_up(written: str, nano: int) -> None:
    assert rate(written) == nano


def test_a_rate_that_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidOperation):
        rate("?")


def test_unknown_cached_and_reasoning_rates_are_those_of_input_and_output() -> None:
    assert tier("1", "2") == Tier(None, input=USD, cached=USD, output=2 * USD, reasoning=2 * USD)
    assert tier("1", "2", cached="0").cached == 0


def test_the_tiers_of_qwen3_vl_flash_stand_as_on_the_price_page() -> None:
    assert usd_tiers(TABLE["dashscope", "qwen3-vl-flash"]) == [
        (32_000, "0.05", "0.01", "0.4", "0.4"),
        (128_000, "0.075", "0.015", "0.6", "0.6"),
        (None, "0.12", "0.024", "0.96", "0.96"),
    ]


def test_a_token_beyond_the_first_tier_of_dashscope_makes_every_token_dearer() -> None:
    price = TABLE["dashscope", "qwen3-vl-flash"]
    assert cost(Usage(input_tokens=32_000, output_tokens=1000), price) == 32_000 * 50 + 1000 * 400
    assert cost(Usage(input_tokens=32_001, output_tokens=1000), price) == 32_001 * 75 + 1000 * 600


def test_a_million_tokens_of_an_embedding_cost_what_the_page_says() -> None:
    assert cost(Usage(input_tokens=MILLION_TOKENS), TABLE["dashscope", "text-embedding-v4"]) == 70_000_000
    assert cost(Usage(input_tokens=MILLION_TOKENS), TABLE["openai", "text-embedding-3-small"]) == 20_000_000


@pytest.mark.parametrize("key", list(TABLE), ids="/".join)
def test_every_price_of_the_table_is_complete(key: tuple[str, str]) -> None:
    price = TABLE[key]
    assert price.version == VERSION
    assert price.as_of == AS_OF
    assert price.source
    bounds = [one.up_to for one in price.tiers]
    assert bounds[-1] is None
    assert bounds[:-1] == sorted({bound for bound in bounds if bound is not None})
    for one in price.tiers:
        assert 0 < one.cached <= one.input
        assert one.output <= one.reasoning
        assert (one.output > 0) == ("embedding" not in key[1])


@pytest.mark.parametrize("key", [key for key in TABLE if key[0] == "openai"], ids="/".join)
def test_the_table_is_not_cheaper_than_litellms_map_where_both_know_a_model(key: tuple[str, str]) -> None:
    theirs = price_of_entry(litellm_prices()[key[1]], version="t")
    assert theirs is not None
    assert usd_tiers(TABLE[key]) == usd_tiers(theirs)


def test_the_versions_date_is_that_of_the_reading() -> None:
    assert f"aegis-{AS_OF:%Y-%m}" == VERSION
    assert date(2026, 11, 1) <= AS_OF


def test_the_settings_price_goes_before_the_table_and_the_table_before_litellm() -> None:
    own = Price(tiers=(tier("9"),), version="aegis.yaml")
    prices = PriceList({("dashscope", "qwen-plus"): own})
    assert prices.price("dashscope", "qwen-plus") is own
    flash, theirs = prices.price("dashscope", "qwen-flash"), prices.price("dashscope", "qwen-max")
    assert flash is not None
    assert flash.version == VERSION
    assert theirs is not None
    assert theirs.version == "litellm-1.106.0"
    assert usd_tiers(theirs) == [(None, "1.6", "1.6", "6.4", "6.4")]


def test_a_plain_name_of_litellms_map_is_openais_and_nobody_elses() -> None:
    prices = PriceList()
    known = prices.price("openai", "gpt-4o")
    assert known is not None
    assert usd_tiers(known) == [(None, "2.5", "1.25", "10", "10")]
    assert prices.price("my-proxy", "gpt-4o") is None
    assert prices.price("openai", "dashscope/qwen-max") is None


def test_litellms_map_is_read_as_litellm_reads_it() -> None:
    theirs = load_litellm().model_cost
    read = litellm_prices()
    assert len(theirs) > 1000
    assert {name: read[name] for name in theirs} == theirs


def test_a_model_without_rates_in_litellms_map_has_no_price() -> None:
    assert "dashscope/qwen3-30b-a3b" in litellm_prices()
    assert PriceList().price("dashscope", "qwen3-30b-a3b") is None


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
        {"input_cost_per_token": 1e-06},
        {"input_cost_per_token": 0, "mode": "embedding"},
        {"tiered_pricing": [{"range": [0, 1000], "input_cost_per_token": 1e-06}]},
        {
            "tiered_pricing": [
                {"range": [0, 1000], "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06},
                {"range": [1000, 2000]},
            ]
        },
    ],
)
def test_an_entry_with_missing_or_zero_rates_is_no_price(entry: dict[str, object]) -> None:
    assert price_of_entry(entry, version="t") is None


def test_rates_above_a_bound_are_tiers() -> None:
    price = price_of_entry(
        {
            "input_cost_per_token": 2.5e-06,
            "output_cost_per_token": 1.5e-05,
            "cache_read_input_token_cost": 2.5e-07,
            "input_cost_per_token_above_272k_tokens": 5e-06,
            "output_cost_per_token_above_272k_tokens": 2.25e-05,
        },
        version="t",
    )
    assert price is not None
    assert usd_tiers(price) == [(272_000, "2.5", "0.25", "15", "15"), (None, "5", "0.25", "22.5", "22.5")]


def test_listed_tiers_keep_their_reasoning_rates() -> None:
    price = price_of_entry(litellm_prices()["dashscope/qwen-plus-latest"], version="t")
    assert price is not None
    assert usd_tiers(price) == [(256_000, "0.4", "0.4", "1.2", "4"), (1_000_000, "1.2", "1.2", "3.6", "12")]


def test_most_tokens_of_a_picture_are_known_for_the_vision_models_of_the_table() -> None:
    assert MOST_PICTURE_TOKENS["dashscope", "qwen3-vl-flash"] == 2_562
    assert MOST_PICTURE_TOKENS["openai", "gpt-4o-mini"] == 2_833 + 8 * 5_667
    assert set(MOST_PICTURE_TOKENS) <= set(TABLE)


@pytest.mark.parametrize(("provider", "model"), [("dashscope", "qwen4"), ("my proxy", "meta:llama-3"), ("1", "on")])
def test_the_lines_to_add_name_the_model_and_are_no_price_before_somebody_fills_them_in(
    provider: str, model: str
) -> None:
    added = yaml.safe_load(lines_to_add(provider, model))["llm"]["prices"][f"{provider}/{model}"]
    assert added == {"input": "?", "output": "?"}
