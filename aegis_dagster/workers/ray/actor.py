"""The seat as an actor of Ray."""

from typing import Any

import ray

from aegis_dagster.environment import forget_secrets
from aegis_dagster.workers.ray.cluster import Share
from aegis_dagster.workers.ray.seat import Call, Done, Seat, SeatInfo, SeatPlan

_MEGABYTE = 1024 * 1024


class SeatActor:
    """What Ray starts on a node, in a process of its own."""

    def __init__(self, plan: SeatPlan) -> None:
        forget_secrets()
        self._seat = Seat(plan)

    async def begin(self) -> SeatInfo:
        """See `Seat.begin`."""
        context = ray.get_runtime_context()
        return await self._seat.begin(context.get_node_id(), context.get_accelerator_ids().get("GPU", []))

    async def run(self, call: Call) -> Done:
        """See `Seat.run`."""
        return await self._seat.run(call)

    async def end(self) -> None:
        """See `Seat.end`."""
        await self._seat.end()


_RemoteSeat: Any = ray.remote(SeatActor)  # sent to the cluster once for each connection


def seat_actor(share: Share, plan: SeatPlan) -> Any:
    """A new actor. What ends it is told apart by who asks: Ray neither starts it again nor repeats a call."""
    options = _RemoteSeat.options(
        num_cpus=share.cpus,
        num_gpus=share.gpus,
        memory=share.memory_mb * _MEGABYTE or None,
        scheduling_strategy="SPREAD",
        max_restarts=0,
        max_task_retries=0,
        max_concurrency=4,
    )
    return options.remote(plan)
