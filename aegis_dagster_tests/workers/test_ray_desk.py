"""Seats that nobody uses go back to the cluster: other runs wait for its room."""

import asyncio

import pytest

from aegis_dagster.workers.ray.cluster import Share
from aegis_dagster.workers.ray.desk import Desk
from aegis_dagster.workers.ray.handles import UNUSED_SECONDS, KeptSeats, SeatHandle
from aegis_dagster.workers.ray.seat import SeatPlan
from aegis_dagster_tests.support.ray_runners import SMALL, eventually

PLAN = SeatPlan(memory_mb=500, results="", versions={}, office=None)


async def test_a_seat_that_no_task_uses_ends_and_one_that_is_used_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    desk, first, second = _desk(SMALL), SeatHandle(SMALL, PLAN), SeatHandle(SMALL, PLAN)
    desk.add(first)
    desk.add(second)
    now += UNUSED_SECONDS - 1
    assert await desk.take() is second
    desk.give_back(second, healthy=True)
    now += 1
    desk.look([])
    assert desk.there == [second]
    assert await desk.take() is second
    now += UNUSED_SECONDS
    desk.look([])
    assert desk.there == [second]
    desk.give_back(second, healthy=True)
    assert await desk.close() == [second]


async def test_seats_that_no_next_step_takes_end() -> None:
    kept = KeptSeats(seconds=0.2)
    taken, left = SeatHandle(SMALL, PLAN), SeatHandle(SMALL, PLAN)
    kept.put("a", [taken])
    kept.put("b", [left])
    assert kept.take("a") == [taken]
    await eventually(lambda: len(kept) == 0)
    assert kept.take("b") == []


def _desk(share: Share) -> Desk:
    desk = Desk(share, PLAN, "parse", most=4, waiting_seconds=60)
    desk.others = [desk]
    return desk
