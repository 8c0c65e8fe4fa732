"""However a call ends - given up, a bug, a busy database - its reservation is settled, and once."""

import asyncio
from pathlib import Path

import pytest

from aegis_dagster.domain.accounts import BudgetRefusal, Reservation, Settlement
from aegis_dagster.domain.llm import LLMTask
from aegis_dagster.errors import ServiceError
from aegis_dagster.llm.answer import Answer
from aegis_dagster.llm.client import Wire
from aegis_dagster.llm.paid_call import CANCELLED, INTERNAL_ERROR, SETTLE_TRIES
from aegis_dagster.llm.providers import Model, Provider
from aegis_dagster.ports import Ledger
from aegis_dagster_tests.support.asking import ANSWER_COST, ask_for, desk, most, provider
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, LLMServer, Rule


async def arrived(server: LLMServer) -> None:
    """Returns when the server has been asked."""
    while not await asyncio.to_thread(server.records):
        continue


async def test_a_call_that_is_given_up_on_its_way_keeps_its_reservation(tmp_path: Path, cloud: LLMServer) -> None:
    cloud.script([Rule(Behaviour(Kind.HANG))])
    one = provider("cloud", cloud.v1)
    at = desk(tmp_path, [one])
    asking = asyncio.create_task(at.gateway.ask(ask_for()))
    await arrived(cloud)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert at.endings() == [("cloud", CANCELLED, "unknown", most(one, ask_for()))]
    await at.aclose()


class SlowLedger:
    """A ledger that takes its time, and another's answer."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()

    async def reserve(self, reservation: Reservation) -> BudgetRefusal | None:
        self.began.set()
        await self.go_on.wait()
        return await self.ledger.reserve(reservation)

    async def settle(self, settlement: Settlement) -> None:
        await self.go_on.wait()
        await self.ledger.settle(settlement)


async def test_a_call_that_is_given_up_before_it_is_sent_costs_nothing_however_often_it_is_given_up(
    tmp_path: Path, cloud: LLMServer
) -> None:
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    slow = SlowLedger(at.ledger)
    gateway = at.with_ledger(slow)
    asking = asyncio.create_task(gateway.ask(ask_for()))
    await slow.began.wait()
    for _ in range(3):
        asking.cancel()
        await asyncio.sleep(0.01)
    slow.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert at.endings() == [("cloud", CANCELLED, "settled", 0)]
    assert cloud.records() == []


async def test_calls_that_are_given_up_before_they_are_sent_cost_nothing(tmp_path: Path, cloud: LLMServer) -> None:
    cloud.script([Rule(Behaviour(Kind.HANG))])
    at = desk(tmp_path, [provider("cloud", cloud.v1, concurrency=1)])
    first, second, third = (asyncio.create_task(at.gateway.ask(ask_for())) for _ in range(3))
    await arrived(cloud)
    while len(await asyncio.to_thread(at.rows)) < 2:
        continue
    second.cancel()  # reserved ahead of its slot
    third.cancel()  # not even that
    for given_up in (second, third):
        with pytest.raises(asyncio.CancelledError):
            await given_up
    statuses = [(row["outcome"], row["status"], row["cost_nanousd"]) for row in at.rows()]
    assert sorted(statuses) == [("", "reserved", None), ("cancelled", "settled", 0)]
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert len(cloud.records()) == 1
    await at.aclose()


class BrokenWire(Wire):
    """A wire with a mistake in it."""

    async def call(self, provider: Provider, model: Model, task: LLMTask) -> Answer:
        raise ZeroDivisionError("a bug")


async def test_a_mistake_of_ours_in_a_call_keeps_the_reservation_and_is_not_hidden(tmp_path: Path) -> None:
    one = provider("cloud", "http://127.0.0.1:9/v1")
    at = desk(tmp_path, [one], wire=BrokenWire())
    with pytest.raises(ZeroDivisionError):
        await at.gateway.ask(ask_for())
    assert at.endings() == [("cloud", INTERNAL_ERROR, "unknown", most(one, ask_for()))]


class BusyLedger:
    """A ledger whose database is busy for the first settlements."""

    def __init__(self, ledger: Ledger, *, busy: int) -> None:
        self.ledger = ledger
        self.busy = busy

    async def reserve(self, reservation: Reservation) -> BudgetRefusal | None:
        return await self.ledger.reserve(reservation)

    async def settle(self, settlement: Settlement) -> None:
        if self.busy:
            self.busy -= 1
            raise ServiceError("The database does not answer.", remedy="wait")
        await self.ledger.settle(settlement)


async def test_a_settlement_that_meets_a_busy_database_is_tried_again(tmp_path: Path, cloud: LLMServer) -> None:
    at = desk(tmp_path, [provider("cloud", cloud.v1)])
    gateway = at.with_ledger(BusyLedger(at.ledger, busy=SETTLE_TRIES - 1))
    assert (await gateway.ask(ask_for())).cost == ANSWER_COST
    assert at.endings() == [("cloud", "ok", "settled", ANSWER_COST)]
    assert at.sleep.slept == [0.5, 1.0, 2.0, 4.0]
    await gateway.aclose()


async def test_an_answer_that_cannot_be_settled_is_returned_and_never_free(
    tmp_path: Path, cloud: LLMServer, caplog: pytest.LogCaptureFixture
) -> None:
    one = provider("cloud", cloud.v1)
    at = desk(tmp_path, [one])
    gateway = at.with_ledger(BusyLedger(at.ledger, busy=SETTLE_TRIES))
    response = await gateway.ask(ask_for())
    [row] = at.rows()
    assert (row["status"], row["reserved_nanousd"]) == ("reserved", most(one, ask_for()))
    assert response.call_id in caplog.text
    await gateway.aclose()


async def test_a_reservation_outlives_the_time_out_of_its_call(tmp_path: Path, cloud: LLMServer) -> None:
    kept: list[Reservation] = []

    class Noting(BusyLedger):
        async def reserve(self, reservation: Reservation) -> BudgetRefusal | None:
            kept.append(reservation)
            return await super().reserve(reservation)

    at = desk(tmp_path, [provider("cloud", cloud.v1, timeout_seconds=50.0)])
    gateway = at.with_ledger(Noting(at.ledger, busy=0))
    await gateway.ask(ask_for())
    assert kept[0].seconds_to_live == 400.0
    assert kept[0].run_id == "run-1"
    assert kept[0].asked_for == ask_for().asked_for
    await gateway.aclose()
