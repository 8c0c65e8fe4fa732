"""No more calls at once and in a minute than the provider allows, and nobody waits in vain."""

import asyncio
from pathlib import Path

import pytest

from aegis_dagster.domain.accounts import BudgetRefusal, Reservation, Settlement
from aegis_dagster.domain.llm import LLMTask
from aegis_dagster.errors import BudgetExhausted
from aegis_dagster.llm.client import Answer, Slot, Wire
from aegis_dagster.llm.providers import Model, Provider
from aegis_dagster.llm.token_usage import counted_input
from aegis_dagster_tests.support.asking import MAX_TOKENS, ask_for, desk, provider
from aegis_dagster_tests.support.llm_server import Behaviour, LLMServer, Rule


class CountingWire(Wire):
    """The real wire, with a count of calls at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0

    async def call(self, provider: Provider, model: Model, task: LLMTask, slot: Slot | None = None) -> Answer:
        assert slot is not None
        await slot.send()
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super().call(provider, model, task)
        finally:
            self.now -= 1


async def test_no_more_calls_are_made_at_once_than_the_provider_allows(tmp_path: Path, cloud: LLMServer) -> None:
    cloud.script([Rule(Behaviour(latency_seconds=0.05))])
    wire = CountingWire()
    at = desk(tmp_path, [provider("cloud", cloud.v1, concurrency=4)], wire=wire)
    await asyncio.gather(*(at.gateway.ask(ask_for()) for _ in range(24)))
    assert wire.most == 4
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
    async with asyncio.timeout(10):
        while len(await asyncio.to_thread(cloud.records)) < 3:
            continue
    assert not asking.done()
    stuck.may_end.set()
    assert len(await asking) == 3
    await at.aclose()
