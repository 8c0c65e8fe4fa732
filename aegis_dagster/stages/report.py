"""What one run of a stage did, for operators.

Belongs here: the counters and failures of a run. Does not belong here: how they are shown.
"""

from collections import Counter
from dataclasses import dataclass, field

from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import Failure, Outcome, Stage, Status


@dataclass(slots=True)
class StageReport:
    """Counters of one run of one stage; `work` counts what was really computed, not reused."""

    stage: Stage
    documents: int = 0  # in the scope of the run
    up_to_date: int = 0  # needed nothing
    blocked: int = 0  # wait for the stage above
    outcomes: Counter[Status] = field(default_factory=Counter)
    work: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[DocumentId, Failure]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)  # by reason
    deferred: Counter[str] = field(default_factory=Counter)  # by what happened, with the remedy
    seconds: float = 0.0

    def add(self, document_id: DocumentId, outcome: Outcome) -> None:
        """Count one document."""
        self.outcomes[outcome.status] += 1
        if outcome.failure is not None:
            self.failures.append((document_id, outcome.failure))
        if outcome.status is Status.SKIPPED:
            self.skipped[str(outcome.facts.get("why", "skipped"))] += 1
        if outcome.status is Status.DEFERRED:
            self.deferred[f"{outcome.facts['why']} Remedy: {outcome.facts['remedy']}"] += 1
