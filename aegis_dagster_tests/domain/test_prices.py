"""What a call costs, to the nano-USD, and that it never costs more than its reservation."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_dagster.domain.prices import FREE, Price, Tier, Usage, cost, highest_cost

FLAT = Price(
    tiers=(Tier(None, input=400 * 10**6, cached=100 * 10**6, output=1600 * 10**6, reasoning=2000 * 10**6),), version="t"
)
TIERED = Price(
    tiers=(
        Tier(32_000, input=50 * 10**6, cached=10 * 10**6, output=400 * 10**6, reasoning=400 * 10**6),
        Tier(128_000, input=75 * 10**6, cached=15 * 10**6, output=600 * 10**6, reasoning=600 * 10**6),
        Tier(None, input=120 * 10**6, cached=24 * 10**6, output=960 * 10**6, reasoning=960 * 10**6),
    ),
    version="t",
)


def test_input_cached_output_and_reasoning_tokens_each_have_their_rate() -> None:
    usage = Usage(input_tokens=1000, cached_tokens=400, output_tokens=300, reasoning_tokens=100)
    assert cost(usage, FLAT) == 600 * 400 + 400 * 100 + 200 * 1600 + 100 * 2000


def test_a_part_of_a_nano_usd_is_a_whole_one() -> None:
    price = Price(tiers=(Tier(None, input=1, cached=1, output=0, reasoning=0),), version="t")
    assert cost(Usage(input_tokens=1), price) == 1
    assert cost(Usage(input_tokens=1_000_001), price) == 2


def test_one_token_more_than_a_tier_pays_the_next_tier_for_every_token() -> None:
    assert cost(Usage(input_tokens=32_000), TIERED) == 32_000 * 50
    assert cost(Usage(input_tokens=32_001), TIERED) == 32_001 * 75
    assert cost(Usage(input_tokens=128_000, output_tokens=10), TIERED) == 128_000 * 75 + 10 * 600
    assert cost(Usage(input_tokens=128_001, output_tokens=10), TIERED) == 128_001 * 120 + 10 * 960


def test_beyond_the_last_bound_the_last_tier_counts() -> None:
    bounded = Price(tiers=TIERED.tiers[:2], version="t")
    assert cost(Usage(input_tokens=200_000), bounded) == 200_000 * 75
    assert highest_cost(200_000, 0, bounded) == 200_000 * 75


def test_each_picture_costs_on_top() -> None:
    price = Price(tiers=FLAT.tiers, version="t", per_picture=7)
    assert cost(Usage(input_tokens=1), price, pictures=2) == 400 + 14
    assert highest_cost(1, 0, price, pictures=2) == 400 + 14


def test_free_is_free() -> None:
    assert FREE.free
    assert not FLAT.free
    assert cost(Usage(input_tokens=10**9, output_tokens=10**9), FREE) == 0


def test_input_that_is_written_to_the_cache_has_its_rate_and_that_of_input_if_it_has_none() -> None:
    usage = Usage(input_tokens=1000, cached_tokens=400, cache_write_tokens=500)
    assert cost(usage, FLAT) == 600 * 400 + 400 * 100
    priced = Price(tiers=(replace(FLAT.tiers[0], cache_write=500 * 10**6),), version="t")
    assert cost(usage, priced) == 100 * 400 + 400 * 100 + 500 * 500
    assert highest_cost(1000, 0, priced) == 1000 * 500


def test_one_token_of_reasoning_can_put_the_whole_output_at_that_rate() -> None:
    thinks = replace(FLAT, reasoning_for_all=True)
    assert cost(Usage(output_tokens=100, reasoning_tokens=1), thinks) == 100 * 2000
    assert cost(Usage(output_tokens=100), thinks) == 100 * 1600


def test_the_highest_cost_counts_every_answer_at_its_dearest_rate() -> None:
    assert highest_cost(1000, 100, FLAT) == 1000 * 400 + 100 * 2000


@pytest.mark.parametrize("usage", [(10, 11, 0, 0), (10, 0, 5, 6), (10, -1, 0, 0)])
def test_tokens_that_contradict_each_other_are_refused(usage: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="contradict"):
        Usage(*usage)


rates = st.integers(min_value=0, max_value=10**11)
tiers = st.builds(
    Tier,
    up_to=st.none(),
    input=rates,
    cached=rates,
    output=rates,
    reasoning=rates,
    cache_write=st.none() | rates,
)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    bounds = sorted(draw(st.sets(st.integers(1, 300_000), max_size=3)))
    made = [draw(tiers) for _ in range(len(bounds) + 1)]
    ends: list[int | None] = [*bounds, None]
    return Price(
        tiers=tuple(
            Tier(end, tier.input, tier.cached, tier.output, tier.reasoning, tier.cache_write)
            for end, tier in zip(ends, made, strict=True)
        ),
        version="t",
        per_picture=draw(st.integers(0, 1000)),
        reasoning_for_all=draw(st.booleans()),
    )


@given(price=prices(), most=st.tuples(st.integers(0, 400_000), st.integers(0, 50_000)), data=st.data())
def test_no_call_costs_more_than_the_highest_cost_of_its_bounds(
    price: Price, most: tuple[int, int], data: st.DataObject
) -> None:
    input_tokens = data.draw(st.integers(0, most[0]))
    output_tokens = data.draw(st.integers(0, most[1]))
    cached_tokens = data.draw(st.integers(0, input_tokens))
    usage = Usage(
        input_tokens=input_tokens,
        cached_tokens=cached_tokens,
        cache_write_tokens=data.draw(st.integers(0, input_tokens - cached_tokens)),
        output_tokens=output_tokens,
        reasoning_tokens=data.draw(st.integers(0, output_tokens)),
    )
    assert cost(usage, price, pictures=1) <= highest_cost(*most, price, pictures=1)
