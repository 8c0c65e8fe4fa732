"""Forecasts the model calls of a run and their cost. Calls no model and parses nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aegis_dagster.composition.call_estimates import CallEstimates, ModelsAsked
from aegis_dagster.composition.document_limits import judged
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.forecast import ForecastRow, ForecastTotals
from aegis_dagster.domain.forecast import forecast as added_up
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.money import shown_usd
from aegis_dagster.domain.stages import Document, Stage
from aegis_dagster.errors import OverLimit
from aegis_dagster.stages.model_work import all_remaining, each_once


@dataclass(frozen=True, slots=True)
class Forecast:
    """The complete forecast."""

    totals: ForecastTotals
    row_documents: Mapping[tuple[Stage | None, str, str], int]  # by stage, provider and model
    documents: int  # with work left for a model
    estimated_documents: int  # those of them not parsed or chunked yet: their calls are estimates
    notes: tuple[str, ...]
    over_limit: Mapping[DocumentId, OverLimit]  # documents whose work is not begun, so that no row counts it

    def to_json(self) -> dict[str, Any]:
        """The JSON contract of `forecast`."""
        return {
            "rows": [self._row(row) for row in self.totals.rows],
            "documents": self.documents,
            "estimated_documents": self.estimated_documents,
            "calls": self.totals.calls,
            "input_tokens": self.totals.input_tokens,
            "output_tokens": self.totals.output_tokens,
            "total_nanousd": self.totals.cost,
            "notes": list(self.notes),
            "over_limit": [
                {"document": name, "message": error.message, "remedy": error.remedy}
                for name, error in sorted(self.over_limit.items())
            ],
        }

    def _row(self, row: ForecastRow) -> dict[str, Any]:
        values = asdict(row)
        cost, measured = values.pop("cost"), values.pop("measured")
        documents = self.row_documents[row.stage, row.provider, row.model]
        return {**values, "documents": documents, "cost_nanousd": cost, "basis": "measured" if measured else "guess"}


def forecast(project: Project, documents: Sequence[Document], forced: Collection[Stage] = ()) -> Forecast:
    """Forecast a run over these documents; they need not be in the catalog. forced: stages that are done again.

    A "measured" row uses the mean of earlier calls to the model, a "guess" the real prompt, the known texts and the
    numbers above; embedding always uses the texts, because its calls differ in their number of texts.
    Raises ConfigurationError like the run: an embedding model that does not exist, a paid model without a price.
    """
    asking = ModelsAsked(project)
    work = all_remaining(
        documents,
        [*project.documents.all(), *documents],
        known=project.states,
        artifacts=project.artifacts,
        asked=asking.stages,
        forced=forced,
    )
    estimates = CallEstimates(project, asking, work)
    fit = judged(project, estimates, work)
    counted = estimates.counted(each_once(fit.begun))
    totals = added_up(counted.items)
    asked = {document for names in counted.documents.values() for document in names}
    return Forecast(
        totals,
        {key: len(names) for key, names in counted.documents.items()},
        documents=len(asked),
        estimated_documents=len({item.document.id for item in fit.begun if item.estimated} & asked),
        notes=(
            *asking.notes({document.collection for document in documents}),
            *_too_dear(totals, estimates),
        ),
        over_limit=fit.refused,
    )


def _too_dear(totals: ForecastTotals, estimates: CallEstimates) -> list[str]:
    """Notes on providers whose budget is too small."""
    notes = []
    for provider, cost in totals.cost_by_provider().items():
        left = estimates.left(provider)
        if left is not None and cost > left:
            notes.append(
                f"{provider} may spend {shown_usd(left)} USD more this month and {shown_usd(cost)} are expected: "
                "what does not fit goes to the next tier or is deferred; `aegis budget raise` gives it more."
            )
    return notes
