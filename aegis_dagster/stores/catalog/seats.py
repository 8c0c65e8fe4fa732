"""What runs in progress say about their seats in a cluster, for metrics: the exporter reaches the database only."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from aegis_dagster.domain.seats import Lost, SeatFigures
from aegis_dagster.ports import Clock
from aegis_dagster.stores.catalog.schema import lost_workers, seat_reports
from aegis_dagster.stores.database import read, write
from aegis_dagster.stores.merging import merging

HEARD_SECONDS = 60.0  # a run that has said nothing for longer has no seats: it was killed
_COLUMNS = ("owner", "nodes", "lost_nodes", "ready", "waiting", "queue", "at_ms")


@dataclass(frozen=True, slots=True)
class SeatReports:
    """Writes and reads the reports."""

    engine: Engine
    clock: Clock

    def report(self, owner: str, now: SeatFigures, before: SeatFigures) -> None:
        """Replace what an owner said, and count the workers that it has lost since. Raises ServiceError."""
        row = {
            "owner": owner,
            "nodes": now.nodes,
            "lost_nodes": now.lost_nodes,
            "ready": now.ready,
            "waiting": now.waiting,
            "queue": now.queue,
            "at_ms": self._now_ms(),
        }
        newly = [(why, now.lost.get(why, 0) - before.lost.get(why, 0)) for why in Lost]
        counted = [{"reason": str(why), "workers": workers} for why, workers in sorted(newly) if workers]
        with write(self.engine) as connection:
            connection.execute(merging(seat_reports, _COLUMNS), [row])
            if counted:
                connection.execute(merging(lost_workers, ("reason", "workers"), adding=("workers",)), counted)

    def end(self, owner: str) -> None:
        """Forget an owner, and those of whom nothing was heard for long. Raises ServiceError."""
        table = seat_reports.c
        with write(self.engine) as connection:
            silent = table.at_ms < self._now_ms() - int(HEARD_SECONDS * 1000)
            connection.execute(sa.delete(seat_reports).where((table.owner == owner) | silent))

    def now(self) -> SeatFigures:
        """The runs of this moment together, and the workers lost since the home was created. Raises ServiceError."""
        table = seat_reports.c
        heard = table.at_ms >= self._now_ms() - int(HEARD_SECONDS * 1000)
        # Each run sees the same cluster, and has seats and a queue of its own.
        seen = (sa.func.max(table.nodes), sa.func.max(table.lost_nodes))
        own = (sa.func.sum(table.ready), sa.func.sum(table.waiting), sa.func.sum(table.queue))
        with read(self.engine) as connection:
            row = connection.execute(sa.select(*seen, *own).where(heard)).one()
            lost = {Lost(reason): workers for reason, workers in connection.execute(sa.select(lost_workers))}
        nodes, lost_nodes, ready, waiting, queue = (int(value or 0) for value in row)
        return SeatFigures(nodes, lost_nodes, ready, waiting, queue, lost)

    def _now_ms(self) -> int:
        return int(self.clock.now().timestamp() * 1000)
