"""A forecast adds up, and prefers what was measured to what was guessed."""

from aegis_dagster.domain.forecast import ForecastItem, Measured, forecast
from aegis_dagster.domain.llm import TaskType
from aegis_dagster.domain.prices import FREE, Price, Tier, Usage
from aegis_dagster.domain.stages import Stage

PRICE = Price(
    tiers=(
        Tier(1000, input=100 * 10**6, cached=10 * 10**6, output=400 * 10**6, reasoning=400 * 10**6),
        Tier(None, input=200 * 10**6, cached=20 * 10**6, output=800 * 10**6, reasoning=800 * 10**6),
    ),
    version="t",
)


def pictures(calls: int, guess: Usage, measured: Measured | None = None, price: Price = PRICE) -> ForecastItem:
    return ForecastItem(
        Stage.ENRICH, TaskType.IMAGE_DESCRIPTION, "cloud", "vision", calls, price, guess, measured, pictures=1
    )


def test_without_measurements_every_call_is_as_guessed() -> None:
    totals = forecast([pictures(10, Usage(input_tokens=500, output_tokens=100))])
    [row] = totals.rows
    assert (row.calls, row.input_tokens, row.output_tokens, row.measured) == (10, 5000, 1000, False)
    assert row.cost == totals.cost == 10 * (500 * 100 + 100 * 400)


def test_measured_calls_replace_the_guess_by_their_mean() -> None:
    measured = Measured(calls=3, input_tokens=1000, cached_tokens=100, output_tokens=31, reasoning_tokens=0)
    [row] = forecast([pictures(2, Usage(input_tokens=9999), measured)]).rows
    assert row.measured
    assert (row.input_tokens, row.output_tokens) == (2 * 334, 2 * 11)
    assert row.cost == 2 * ((334 - 33) * 100 + 33 * 10 + 11 * 400)


def test_a_measurement_of_no_calls_measures_nothing() -> None:
    [row] = forecast([pictures(1, Usage(input_tokens=7), Measured(0, 0, 0, 0, 0))]).rows
    assert (row.input_tokens, row.measured) == (7, False)


def test_each_call_pays_the_tier_of_its_own_size_not_of_the_sum() -> None:
    totals = forecast([pictures(5, Usage(input_tokens=1000)), pictures(5, Usage(input_tokens=1001))])
    [row] = totals.rows
    assert row.calls == 10
    assert row.cost == 5 * 1000 * 100 + 5 * 1001 * 200


def test_other_stages_and_models_are_other_rows_and_all_add_up() -> None:
    extraction = ForecastItem(
        Stage.GRAPH, TaskType.ENTITY_EXTRACTION, "local", "small", 4, FREE, Usage(input_tokens=10, output_tokens=5)
    )
    totals = forecast([pictures(1, Usage(input_tokens=100)), extraction, pictures(0, Usage(input_tokens=100))])
    assert [(row.stage, row.cost) for row in totals.rows] == [(Stage.ENRICH, 100 * 100), (Stage.GRAPH, 0)]
    assert (totals.calls, totals.input_tokens, totals.output_tokens, totals.cost) == (5, 140, 20, 100 * 100)
    assert totals.cost_by_provider() == {"cloud": 100 * 100, "local": 0}


def test_a_price_by_the_picture_counts_once_a_call() -> None:
    price = Price(tiers=PRICE.tiers, version="t", per_picture=3)
    assert forecast([pictures(7, Usage(), price=price)]).cost == 21
