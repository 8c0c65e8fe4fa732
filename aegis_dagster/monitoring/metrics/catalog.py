"""Metrics of the catalog: the status of documents, failures, waiting documents, and the work of the stages."""

from collections.abc import Sequence
from dataclasses import dataclass

from aegis_dagster.domain.money import month_of
from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.errors import BudgetExhausted, FailureCode, ModelsUnavailable
from aegis_dagster.monitoring.metrics.samples import Samples
from aegis_dagster.ports import Clock
from aegis_dagster.stores.catalog.counts import CatalogCounts, CatalogNumbers, StageTotal

_REASONS = (BudgetExhausted.reason, ModelsUnavailable.reason)
_ENDS = (Status.DONE, Status.SKIPPED, Status.FAILED, Status.DEFERRED)


@dataclass(frozen=True, slots=True)
class CatalogMetrics:
    """Reads the current catalog."""

    counts: CatalogCounts
    providers: Sequence[str]  # the providers that may be asked
    clock: Clock

    def read(self) -> Samples:
        """All samples. Takes some seconds for 100,000 documents. Raises ServiceError."""
        numbers = self.counts.count()
        samples = Samples()
        _add_statuses(samples, numbers)
        month = month_of(self.clock.now())
        for provider in self.providers:
            samples.add("aegis_documents_refused", provider, value=numbers.refused[provider, month])
        self._add_queue(samples, numbers)
        _add_totals(samples, numbers.totals)
        samples.add("aegis_points_expected", value=numbers.points)
        return samples

    def _add_queue(self, samples: Samples, numbers: CatalogNumbers) -> None:
        now_ms = int(self.clock.now().timestamp() * 1000)
        for collection in sorted(numbers.statuses):
            since = numbers.waiting_since_ms.get(collection, now_ms)
            samples.add("aegis_queue_age_seconds", collection, value=max(0, now_ms - since) / 1000)


def _add_statuses(samples: Samples, numbers: CatalogNumbers) -> None:
    for collection, counted in sorted(numbers.statuses.items()):
        for stage in Stage:
            for status in Status:
                samples.add("aegis_documents", collection, stage, status, value=counted[stage, status])
    for stage in Stage:
        for code in FailureCode:
            samples.add("aegis_documents_failed", stage, code)
    for (stage, reason), documents in sorted(numbers.failed.items()):
        samples.add("aegis_documents_failed", stage, reason, value=documents)
    for reason in _REASONS:
        samples.add("aegis_documents_deferred", reason)
    for reason, documents in sorted(numbers.deferred.items()):
        samples.add("aegis_documents_deferred", reason, value=documents)


def _add_totals(samples: Samples, totals: Sequence[StageTotal]) -> None:
    for stage in Stage:
        for status in _ENDS:
            samples.add("aegis_stage_documents_total", stage, status)
        milliseconds = sum(total.milliseconds for total in totals if total.stage is stage)
        samples.add("aegis_stage_seconds_total", stage, value=milliseconds / 1000)
        for code in FailureCode:
            samples.add("aegis_stage_failures_total", stage, code)
    for total in totals:
        samples.add("aegis_stage_documents_total", total.stage, total.status, value=total.documents)
        if total.status is Status.FAILED:
            samples.add("aegis_stage_failures_total", total.stage, total.reason, value=total.documents)
