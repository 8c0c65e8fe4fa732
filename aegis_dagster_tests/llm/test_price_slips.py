"""A price that is off by a unit is found, whatever it is compared with; a real price is not."""

import pytest

from aegis_dagster.domain.prices import Price
from aegis_dagster.llm.price_slips import slips
from aegis_dagster.llm.price_table import TABLE, tier
from aegis_dagster.llm.prices import litellm_prices, price_of_entry


def found(name: str, *rates: str, per_picture: int = 0, cache_write: str | None = None) -> list[str]:
    provider, _, model = name.partition("/")
    return slips(
        {
            (provider, model): Price(
                (tier(*rates, cache_write=cache_write),), version="aegis.yaml", per_picture=per_picture
            )
        }
    )


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("dashscope/qwen-plus", ("0.0000004", "0.0000012")),  # per token
        ("dashscope/qwen-plus", ("0.0004", "0.0012")),  # per 1,000 tokens
        ("dashscope/qwen-plus", ("400", "1200")),  # a thousand times too high
        ("openai/gpt-5.6-luna", ("200000", "1200000")),  # a million times
        ("proxy/gpt-4.1", ("0.002", "0.008")),  # known under another provider's name
        ("proxy/our-own", ("0.0000004", "0.0000012")),  # known nowhere
        ("proxy/our-own", ("400000", "1200000")),
    ],
)
def test_a_slip_of_a_unit_is_told_for_each_rate(name: str, rates: tuple[str, str]) -> None:
    told = found(name, *rates)
    assert len(told) == 2
    assert all(one.startswith(f"llm.prices.{name}: ") for one in told)


def test_one_wrong_rate_is_told_alone_with_the_published_one() -> None:
    assert found("dashscope/qwen-plus", "0.40", "0.0012") == [
        "llm.prices.dashscope/qwen-plus: 0.0012 USD per million output tokens is 1,000 times less than the published "
        "1.20 USD."
    ]
    assert len(found("openai/gpt-5.6-luna", "0.20", "1.20", cache_write="0.00000025")) == 1
    assert len(found("dashscope/qwen3-vl-plus", "0.20", "1.60", per_picture=5 * 10**9)) == 1


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("dashscope/qwen-plus", ("0.11", "0.29")),  # another region
        ("dashscope/text-embedding-v4", ("0.07", "0")),
        ("proxy/gpt-4.1", ("2.20", "8.80")),
        ("proxy/our-own", ("0.01", "0.03")),
        ("proxy/our-own", ("0", "0")),
    ],
)
def test_a_real_price_is_not_doubted(name: str, rates: tuple[str, str]) -> None:
    assert found(name, *rates) == []


def test_our_own_table_has_no_slip_against_litellms_map() -> None:
    compared = 0
    for (provider, model), price in TABLE.items():
        entry = litellm_prices().get(model if provider == "openai" else f"{provider}/{model}")
        published = price_of_entry(entry, version="") if entry else None
        if published is not None:
            compared += 1
            ratio = price.tiers[0].input / published.tiers[0].input
            assert 0.1 < ratio < 10, model
    assert compared > 5
