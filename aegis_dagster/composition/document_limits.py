"""Holds documents to the limits of one document, before anything is paid for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import cached_property
from typing import TYPE_CHECKING

from aegis_dagster.composition.call_estimates import CallEstimates, ModelsAsked
from aegis_dagster.domain.document_state import DocumentState
from aegis_dagster.domain.estimates import Experience
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.limits import NOTHING, Demand
from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import OverLimit
from aegis_dagster.stages.model_work import Remaining, remaining, with_pictures

if TYPE_CHECKING:
    from aegis_dagster.composition.project import Project


@dataclass(frozen=True, slots=True)
class Judged:
    """Documents held to the limits."""

    begun: list[Remaining]  # the work that fits
    refused: dict[DocumentId, OverLimit]
    only_pictures: frozenset[DocumentId]  # those refused only because of their pictures: their texts are in `begun`


def judged(project: Project, estimates: CallEstimates, work: Sequence[Remaining]) -> Judged:
    """Hold each document to the limits, as if it were alone. A document over them may still do without descriptions."""
    limits = project.identities.limits
    demands = [estimates.demand(item) for item in work]
    asking = [item.document.id for item, demand in zip(work, demands, strict=True) if demand.calls and not item.edited]
    now = project.clock.now().astimezone(UTC)
    month_ms = int(now.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)
    spent = project.ledger_reports.spent_on_documents(asking, since_ms=month_ms)

    def refusal(item: Remaining, demand: Demand) -> OverLimit | None:
        return limits.refusal(demand, spent.get(item.document.id, NOTHING))

    begun, refused, only_pictures = [], {}, set()
    for item, demand in zip(work, demands, strict=True):
        error = refusal(item, demand)
        if error is None:
            begun.append(item)
            continue
        refused[item.document.id] = error
        without = with_pictures(item, 0)
        if item.pictures and refusal(without, estimates.demand(without)) is None:
            only_pictures.add(item.document.id)
            begun.append(without)
    return Judged(begun, refused, frozenset(only_pictures))


class DocumentLimiter:
    """Says which documents a stage must not begin. Implements `ports.DocumentLimiter`."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def refused(
        self,
        stage: Stage,
        states: Sequence[DocumentState],
        *,
        force: bool = False,
        pictures: Mapping[DocumentId, int] | None = None,
    ) -> dict[DocumentId, OverLimit]:
        """The documents whose remaining work at all stages, not only this one, goes over a limit of one document.

        A stage that calls no model for a document is never refused. pictures: how many are to be described, if that is
        known exactly. Raises ConfigurationError, ServiceError.
        """
        if not self._project.choices.providers:
            return {}
        work = []
        for state in states:
            asked = self._asking.stages(state.document.collection)
            if stage not in asked:
                continue
            left = remaining(
                state,
                artifacts=self._project.artifacts,
                experience=Experience(()),
                asked=asked,
                forced={stage} if force else (),
            )
            if left is not None:
                known = (pictures or {}).get(state.document.id)
                work.append(left if known is None else with_pictures(left, known))
        if not work:
            return {}
        found = judged(self._project, CallEstimates(self._project, self._asking, work), work)
        passed = () if stage is Stage.ENRICH else found.only_pictures
        return {name: error for name, error in found.refused.items() if name not in passed}

    @cached_property
    def _asking(self) -> ModelsAsked:
        return ModelsAsked(self._project)
