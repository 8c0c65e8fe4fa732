"""No more calls at once and in a minute than the provider allows, and nobody waits in vain."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from aegis_dagster.domain.accounts import BudgetRefusal, Reservation, Settlement
from aegis_dagster.domain.llm import LLMTask, TaskType
from aegis_dagster.errors import BudgetExhausted
from aegis_dagster.llm.rate_limits import AHEAD_SHARE
from aegis_dagster.llm.token_usage import counted_input
from aegis_dagster_tests.support.asking import MAX_TOKENS, ask_for, desk, provider
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, LLMServer, Rule


async def test_as_many_calls_are_made_at_once_as_the_provider_allows_and_no_more(
    tmp_path: Path, cloud: LLMServer
) -> None:
    cloud.script([Rule(Behaviour(Kind.HANG))])
    at = desk(tmp_path, [provider("cloud", cloud.v1, concurrency=16)])
    asking = [asyncio.create_task(at.gateway.ask(ask_for())) for _ in range(48)]
    while len(await asyncio.to_thread(cloud.records)) < 16:
        continue
    while len(await asyncio.to_thread(at.rows)) < 16 + 16 // AHEAD_SHARE:  # reserved ahead of their slot
        continue
    for call in asking:
        call.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert cloud.counts()["most_at_once"] == 16
    await at.aclose()


async def test_a_call_is_one_reservation_one_settlement_and_no_connection_of_its_own(
    tmp_path: Path, cloud: LLMServer
) -> None:
    at = desk(tmp_path, [provider("cloud", cloud.v1, concurrency=8)])
    committed: list[object] = []
    sa.event.listen(at.engine, "commit", committed.append)
    await asyncio.gather(*(at.gateway.ask(ask_for()) for _ in range(20)))
    embedding = LLMTask(TaskType.EMBEDDING, texts=("one", "two"))
    await asyncio.gather(*(at.gateway.ask(embedding) for _ in range(20)))
    assert 0 < len(committed) <= 2 * 40
    counts = cloud.counts()
    assert counts["answered"] == 40
    assert counts["most_at_once"] <= 8
    assert counts["connections"] <= 2 * 8, "at most all of them anew, when the machine stood still"
    await at.aclose()


async def test_requests_and_tokens_of_a_minute_are_limited_by_what_calls_really_used(
    tmp_path: Path, cloud: LLMServer
) -> None:
    at = desk(tmp_path, [provider("cloud", cloud.v1, requests_per_minute=3, concurrency=1)])
    for _ in range(7):
        await at.gateway.ask(ask_for())
    assert at.sleep.slept == [60.0, 60.0]
    await at.aclose()
    tokens = 10 * 12 + counted_input(ask_for()) + MAX_TOKENS  # a call uses 12, and before it the estimate has to fit
    other = desk(tmp_path / "other", [provider("cloud", cloud.v1, tokens_per_minute=tokens, concurrency=1)])
    for _ in range(11):
        await other.gateway.ask(ask_for())
    assert other.sleep.slept == []
    for _ in range(4):
        await other.gateway.ask(ask_for())
    assert other.sleep.slept == [60.0]
    await other.aclose()


async def test_a_document_without_money_does_not_use_up_the_minute(tmp_path: Path, cloud: LLMServer) -> None:
    at = desk(tmp_path, [provider("cloud", cloud.v1, requests_per_minute=2)], limits={"cloud": 1})
    for _ in range(10):
        with pytest.raises(BudgetExhausted):
            await at.gateway.ask(ask_for())
    assert at.sleep.slept == []


class StuckLedger:
    """A ledger whose settlements do not end before they may."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    async def reserve(self, reservation: Reservation) -> BudgetRefusal | None:
        return None

    async def settle(self, settlement: Settlement) -> None:
        await self.may_end.wait()


async def test_the_next_call_begins_while_the_one_before_is_settled(tmp_path: Path, cloud: LLMServer) -> None:
    at = desk(tmp_path, [provider("cloud", cloud.v1, concurrency=1)])
    stuck = StuckLedger()
    gateway = at.with_ledger(stuck)
    asking = asyncio.gather(*(gateway.ask(ask_for()) for _ in range(3)))
    while len(await asyncio.to_thread(cloud.records)) < 3:
        continue
    assert not asking.done()
    stuck.may_end.set()
    assert len(await asking) == 3
    await at.aclose()
