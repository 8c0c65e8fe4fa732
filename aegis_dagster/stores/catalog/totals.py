"""Counts how documents ended at each stage; the counts are never reduced."""

from sqlalchemy.engine import Connection

from aegis_dagster.domain.stages import Outcome, Stage, Status
from aegis_dagster.stores.catalog.schema import stage_totals
from aegis_dagster.stores.merging import merging


class StageTotals:
    """Sums of the outcomes that one transaction records."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._sums: dict[tuple[str, str], tuple[int, int]] = {}

    def add(self, outcome: Outcome) -> None:
        """Count one document."""
        key = (str(outcome.status), _reason(outcome))
        documents, milliseconds = self._sums.get(key, (0, 0))
        self._sums[key] = (documents + 1, milliseconds + round(outcome.seconds * 1000))

    def write(self, connection: Connection) -> None:
        """Add the sums to the table; sorted, so that two transactions cannot deadlock."""
        rows = [
            {
                "stage": str(self._stage),
                "status": key[0],
                "reason": key[1],
                "documents": sums[0],
                "milliseconds": sums[1],
            }
            for key, sums in sorted(self._sums.items())
        ]
        if rows:
            connection.execute(merging(stage_totals, tuple(rows[0]), adding=("documents", "milliseconds")), rows)


def _reason(outcome: Outcome) -> str:
    """An error code, or the reason of a deferral; few distinct values."""
    if outcome.failure is not None:
        return str(outcome.failure.code)
    return str(outcome.facts.get("reason", "")) if outcome.status is Status.DEFERRED else ""
