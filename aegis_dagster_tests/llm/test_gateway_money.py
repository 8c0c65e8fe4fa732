"""What the gateway spends: never without a price or a budget, never twice, nothing left over, nothing for free."""

import asyncio
from pathlib import Path

import pytest

from aegis_dagster.domain.accounts import AccountLimits
from aegis_dagster.domain.money import NanoUsd
from aegis_dagster.errors import BudgetExhausted, ConfigurationError, Shortage
from aegis_dagster.llm.retry_policy import ErrorType
from aegis_dagster_tests.support.asking import (
    ANSWER_COST,
    CACHED,
    INPUT,
    OUTPUT,
    REASONING,
    ask_for,
    desk,
    most,
    provider,
)
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, LLMServer, Rule, UsageShape


async def test_cached_and_reasoning_tokens_are_paid_at_their_own_rates(tmp_path: Path, cloud: LLMServer) -> None:
    cloud.script([Behaviour(cached_tokens=4, reasoning_tokens=6)])
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    response = await at.gateway.ask(ask_for())
    assert response.cost == 3 * INPUT + 4 * CACHED + 5 * OUTPUT + 6 * REASONING
    assert not response.usage.estimated
    [row] = at.rows()
    assert row["cost_nanousd"] == response.cost
    assert row["call_id"] == response.call_id
    await at.aclose()


async def test_a_call_whose_usage_is_not_told_is_estimated_flagged_and_not_free(
    tmp_path: Path, cloud: LLMServer, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.script([Rule(Behaviour(usage=UsageShape.ABSENT))])
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    response = await at.gateway.ask(ask_for())
    assert response.usage.estimated
    assert response.cost == response.usage.input_tokens * INPUT + response.usage.output_tokens * OUTPUT > 0
    assert "usage of a call for summary" in caplog.text
    assert at.rows()[0]["estimated"]
    await at.aclose()


async def test_a_paid_model_without_a_price_is_refused_before_any_request(tmp_path: Path, cloud: LLMServer) -> None:
    at = desk(tmp_path, [provider("cloud", cloud.v1)], prices={})
    with pytest.raises(ConfigurationError) as raised:
        await at.gateway.ask(ask_for())
    assert 'llm:\n  prices:\n    "cloud/cloud-model":\n      input: "?"' in str(raised.value)
    assert cloud.records() == []
    assert at.rows() == []


async def test_a_free_provider_needs_no_price_and_leaves_a_row_that_costs_nothing(
    tmp_path: Path, local: LLMServer
) -> None:
    at = desk(tmp_path, [provider("own", local.v1, local=True, free=True)], prices={}, limits={"own": 0})
    assert (await at.gateway.ask(ask_for())).cost == 0
    assert at.endings() == [("own", "ok", "settled", 0)]
    assert at.rows()[0]["price_version"] == "free"
    await at.aclose()


async def test_without_money_the_next_tier_answers_and_the_route_says_so(
    tmp_path: Path, local: LLMServer, cloud: LLMServer
) -> None:
    first = provider("first", cloud.v1)
    at = desk(tmp_path, [first, provider("second", local.v1)], limits={"first": most(first, ask_for()) - 1})
    response = await at.gateway.ask(ask_for())
    assert response.route == "standard summary: first/first-model no_budget, then second/second-model"
    assert cloud.records() == []
    assert at.endings() == [("second", "ok", "settled", ANSWER_COST)]
    assert at.rows()[0]["attempt"] == 1
    await at.aclose()


async def test_money_is_spent_to_the_last_call_that_fits_then_the_document_waits_for_the_next_month(
    tmp_path: Path, cloud: LLMServer
) -> None:
    cloud_provider = provider("cloud", cloud.v1)
    at = desk(tmp_path, [cloud_provider], limits={"cloud": most(cloud_provider, ask_for()) + ANSWER_COST})
    await at.gateway.ask(ask_for())
    await at.gateway.ask(ask_for())
    with pytest.raises(BudgetExhausted) as raised:
        await at.gateway.ask(ask_for())
    assert raised.value.until == "2026-02-01T00:00:00+00:00"
    assert "provider cloud in 2026-01" in raised.value.message
    limit = most(cloud_provider, ask_for()) + ANSWER_COST
    assert raised.value.shortage == Shortage("provider", "cloud", "2026-01", limit - ANSWER_COST, limit)
    assert "aegis budget raise cloud USD" in raised.value.remedy
    assert len(cloud.records()) == 2
    at.clock.move(12 * 3600)
    assert (await at.gateway.ask(ask_for())).cost == ANSWER_COST
    await at.aclose()


async def test_no_money_is_told_before_the_failures_of_other_tiers(
    tmp_path: Path, local: LLMServer, cloud: LLMServer
) -> None:
    local.script([Rule(Behaviour(Kind.REFUSED))])
    at = desk(tmp_path, [provider("a", local.v1), provider("b", cloud.v1)], limits={"b": 1})
    with pytest.raises(BudgetExhausted, match="provider b"):
        await at.gateway.ask(ask_for())
    await at.aclose()


async def test_a_limit_of_a_run_does_not_have_to_wait_for_the_next_month(tmp_path: Path, cloud: LLMServer) -> None:
    limits = AccountLimits(providers={"cloud": NanoUsd(10**12)}, per_run=NanoUsd(1))
    at = desk(tmp_path, [provider("cloud", cloud.v1)], account_limits=limits)
    with pytest.raises(BudgetExhausted, match="run run-1") as raised:
        await at.gateway.ask(ask_for())
    assert raised.value.until == ""


async def test_the_probe_of_a_resting_provider_is_not_used_up_by_a_refusal_for_money(
    tmp_path: Path, cloud: LLMServer
) -> None:
    cloud.script([Behaviour(Kind.UNAUTHORIZED), Rule()])
    cheap, dear = ask_for(), ask_for(max_tokens=10_000)
    at = desk(tmp_path, [provider("cloud", cloud.v1)], limits={"cloud": 10_000_000})
    with pytest.raises(Exception, match="cloud"):
        await at.gateway.ask(cheap)
    at.clock.move(60)
    with pytest.raises(BudgetExhausted):
        await at.gateway.ask(dear)
    assert (await at.gateway.ask(cheap)).cost == ANSWER_COST
    await at.aclose()


async def test_settled_calls_of_a_failing_provider_add_up_with_the_answer(tmp_path: Path, cloud: LLMServer) -> None:
    cloud.script([Behaviour(Kind.RESET_AFTER), Behaviour(Kind.SERVER_ERROR), Rule()])
    one = provider("cloud", cloud.v1, attempts=3)
    at = desk(tmp_path, [one])
    response = await at.gateway.ask(ask_for())
    kept = most(one, ask_for())
    assert at.endings() == [
        ("cloud", ErrorType.CONNECTION_LOST, "unknown", kept),
        ("cloud", ErrorType.SERVER_ERROR, "settled", 0),
        ("cloud", "ok", "settled", ANSWER_COST),
    ]
    assert response.cost == ANSWER_COST
    await at.aclose()


async def test_money_that_is_only_reserved_is_waited_for(tmp_path: Path, cloud: LLMServer) -> None:
    cloud.script([Rule(Behaviour(latency_seconds=0.05))])
    paid = provider("cloud", cloud.v1, concurrency=16)
    calls = 24
    # Two reservations fit at a time; at the end all that was needed is spent, and just one reservation more fits.
    limit = max(2 * most(paid, ask_for()), (calls - 1) * ANSWER_COST + most(paid, ask_for()))
    at = desk(tmp_path, [paid], limits={"cloud": limit})
    answers = await asyncio.gather(*(at.gateway.ask(ask_for()) for _ in range(calls)))
    assert {answer.cost for answer in answers} == {ANSWER_COST}
    assert len(cloud.records()) == calls
    assert limit < calls * most(paid, ask_for())

    with pytest.raises(BudgetExhausted):  # nothing is on its way any more, so nothing is waited for
        while True:
            await at.gateway.ask(ask_for())
    await at.aclose()
