"""The writer thread: shared commits, event loops that come and go, callers that give up, a database that is gone."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from aegis_dagster.errors import ServiceError
from aegis_dagster.stores.database import open_database, write
from aegis_dagster.stores.ledger.ledger import Ledger
from aegis_dagster.stores.ledger.writer import AT_ONCE, GroupWriter
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.counting import database_work
from aegis_dagster_tests.support.ledger_calls import JANUARY, LIMITS, reservation, settlement, spent_in_every_way
from aegis_dagster_tests.support.servers.postgres import postgres_server


class HeldUp:
    """Does nothing until it is let go, and remembers what was done together."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Event()
        self.batches: list[list[str]] = []

    def __call__(self, operations: Sequence[str]) -> list[str | Exception]:
        self.batches.append(list(operations))
        self.begun.set()
        assert self.go.wait(200)
        return [ValueError(one) if one == "bad" else one.upper() for one in operations]


def test_whoever_comes_while_another_is_served_is_served_together() -> None:
    held = HeldUp()
    writer = GroupWriter(held, name="test")
    first = writer.submit("first", droppable=True)
    assert held.begun.wait(200)
    rest = [writer.submit(str(index), droppable=True) for index in range(AT_ONCE + 6)]
    held.go.set()
    assert [future.result(200) for future in (first, *rest)] == ["FIRST", *map(str, range(AT_ONCE + 6))]
    writer.close()
    assert [len(batch) for batch in held.batches] == [1, AT_ONCE, 6]


def test_who_gave_up_is_left_out_unless_it_must_be_done() -> None:
    held = HeldUp()
    writer = GroupWriter(held, name="test")
    writer.submit("first", droppable=True)
    assert held.begun.wait(200)
    dropped, kept = writer.submit("dropped", droppable=True), writer.submit("kept", droppable=False)
    assert dropped.cancel() and kept.cancel()
    last = writer.submit("last", droppable=True)
    held.go.set()
    assert last.result(200) == "LAST"
    writer.close()
    assert held.batches == [["first"], ["kept", "last"]]


def test_an_error_of_one_reaches_only_its_caller() -> None:
    held = HeldUp()
    writer = GroupWriter(held, name="test")
    futures = [writer.submit(one, droppable=True) for one in ("good", "bad", "better")]
    held.go.set()
    assert (futures[0].result(200), futures[2].result(200)) == ("GOOD", "BETTER")
    with pytest.raises(ValueError, match="bad"):
        futures[1].result(200)
    writer.close()


def test_closing_does_what_still_waits_and_a_closed_writer_begins_again() -> None:
    held = HeldUp()
    writer = GroupWriter(held, name="test")
    futures = [writer.submit(str(index), droppable=True) for index in range(10)]
    held.go.set()
    writer.close()
    assert all(future.done() for future in futures)
    assert writer.submit("again", droppable=True).result(200) == "AGAIN"
    writer.close()
    assert [thread.name for thread in threading.enumerate() if thread.name == "test"] == []


def test_a_ledger_serves_one_event_loop_after_another_and_several_at_once(engine: sa.Engine, clock: SetClock) -> None:
    ledger = Ledger(engine, clock, LIMITS)

    async def calls(name: str) -> None:
        for index in range(5):
            assert await ledger.reserve(reservation(1, f"{name}-{index}")) is None
            await ledger.settle(settlement(f"{name}-{index}", 1))

    asyncio.run(calls("first"))
    asyncio.run(calls("second"))
    threads = [threading.Thread(target=lambda n=n: asyncio.run(calls(f"thread-{n}"))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(ledger.aclose())
    assert spent_in_every_way(engine, JANUARY) == 30


async def test_a_call_is_settled_even_when_its_caller_is_cancelled(engine: sa.Engine, ledger: Ledger) -> None:
    await ledger.reserve(reservation(100, "a"))
    with nobody_else_writing(engine):
        settling = asyncio.create_task(ledger.settle(settlement("a", 30)))
        await asyncio.sleep(0.05)
        settling.cancel()
        await asyncio.wait({settling})
        assert settling.cancelled()
    await ledger.aclose()
    assert spent_in_every_way(engine, JANUARY) == 30


async def test_a_call_that_is_settled_while_others_of_its_age_expire_costs_what_it_did_cost(
    engine: sa.Engine, clock: SetClock
) -> None:
    before = Ledger(engine, clock, LIMITS)
    for call_id in ("settled", "lost"):
        await before.reserve(reservation(100, call_id, seconds_to_live=60))
    await before.aclose()
    clock.move(61)
    ledger = Ledger(engine, clock, LIMITS)
    with nobody_else_writing(engine):
        first = asyncio.create_task(ledger.settle(settlement("holds up the others", 0)))
        await asyncio.sleep(0.05)
        together = [  # one transaction: the first reservation of a ledger expires what is due
            asyncio.create_task(ledger.settle(settlement("settled", 30))),
            asyncio.create_task(_reserved(ledger, 100)),
        ]
        await asyncio.sleep(0.05)
    await asyncio.gather(first, *together)
    await ledger.aclose()
    assert spent_in_every_way(engine, JANUARY) == 130


async def test_calls_that_wait_share_a_transaction(engine: sa.Engine, ledger: Ledger) -> None:
    with database_work() as work:
        with nobody_else_writing(engine):
            first = asyncio.create_task(_reserved(ledger, 1))
            await asyncio.sleep(0.05)
            others = [asyncio.create_task(_reserved(ledger, 1)) for _ in range(AT_ONCE)]
            await asyncio.sleep(0.05)
        await asyncio.gather(first, *others)
    assert 1 < work.commits <= 3  # whoever held the others up, the first, the others
    assert len(work.statements) < AT_ONCE


async def test_a_hundred_calls_that_come_together_take_a_few_commits(engine: sa.Engine, ledger: Ledger) -> None:
    names = [str(number) for number in range(100)]
    with database_work() as work:
        for half in ([ledger.reserve(reservation(1, name)) for name in names], [_settled(ledger, n) for n in names]):
            with nobody_else_writing(engine):
                waiting = [asyncio.ensure_future(operation) for operation in half]
                await asyncio.sleep(0.05)
            await asyncio.gather(*waiting)
    assert work.commits <= 8  # of each half: who held them up, and of the calls the first, 64, the others
    assert len(work.statements) < len(names)
    assert spent_in_every_way(engine, JANUARY) == len(names)


async def _settled(ledger: Ledger, name: str) -> None:
    await ledger.settle(settlement(name, 1))


async def _reserved(ledger: Ledger, amount: int) -> None:
    assert await ledger.reserve(reservation(amount)) is None


@contextmanager
def nobody_else_writing(engine: sa.Engine) -> Iterator[None]:
    with write(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("LOCK TABLE llm_calls IN EXCLUSIVE MODE"))
        yield


async def test_a_call_that_is_reserved_and_settled_in_one_breath_is_settled(ledger: Ledger, engine: sa.Engine) -> None:
    async def both(call_id: str) -> None:
        await asyncio.gather(ledger.reserve(reservation(10, call_id)), ledger.settle(settlement(call_id, 10)))

    await asyncio.gather(*(both(str(index)) for index in range(20)))
    assert spent_in_every_way(engine, JANUARY) == 200


async def test_everybody_who_waits_hears_that_the_database_is_gone_and_the_writer_goes_on(tmp_path: Path) -> None:
    with postgres_server() as server:
        engine = open_database(server.new_database())
        ledger = Ledger(engine, SetClock(), LIMITS)
        assert await ledger.reserve(reservation(100, "a")) is None
        server.stop()
        answers = await asyncio.gather(
            *(ledger.reserve(reservation(1)) for _ in range(5)),
            ledger.settle(settlement("a", 30)),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [ServiceError] * 6
        assert len({id(answer) for answer in answers}) == 6
        server.start()
        await ledger.settle(settlement("a", 30))
        assert await ledger.reserve(reservation(970, "b")) is None
        await ledger.aclose()
        engine.dispose()


async def test_when_the_database_works_again_the_writer_goes_on(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'aegis.db'}")
    ledger = Ledger(engine, SetClock(), LIMITS)
    assert await ledger.reserve(reservation(100, "a")) is None
    _rename(engine, "llm_accounts", "gone")
    with pytest.raises(ServiceError, match="no such table"):
        await ledger.settle(settlement("a", 30))
    _rename(engine, "gone", "llm_accounts")
    await ledger.settle(settlement("a", 30))
    await ledger.aclose()
    assert spent_in_every_way(engine, JANUARY) == 30
    engine.dispose()


def _rename(engine: sa.Engine, table: str, name: str) -> None:
    with write(engine) as connection:
        connection.execute(sa.text(f"ALTER TABLE {table} RENAME TO {name}"))
