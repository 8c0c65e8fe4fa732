"""What starts at set times: catching up, re-embedding, checking costs, reporting a month.

Belongs here: the schedules and what each requests. Does not belong here: the times (`settings_schedules.py`), the
sensor (`watching.py`), work.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from aegis_dagster.composition import Project
from aegis_dagster.defs.config import IngestOptions
from aegis_dagster.defs.costs import check_costs
from aegis_dagster.defs.dead_runs import fail_dead_runs
from aegis_dagster.defs.jobs import JOB_NAMES, ingest, ingest_parallel
from aegis_dagster.defs.monthly_report import end_of_month_before, month_before, report_month
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.defs.watching import NO_ROOT, WHY_TAG, list_root, unasked
from aegis_dagster.domain.accounts import AccountKind
from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.money import month_of, shown_usd
from aegis_dagster.domain.stages import Document
from aegis_dagster.forecasting import forecast
from aegis_dagster.settings_schedules import ScheduleSettings, TimedSettings
from aegis_dagster.stores.work_left import WorkLeft

FORECAST_TAG = "aegis/forecast"
_READ_SECONDS = 20.0  # of new files; Dagster gives up a tick after 60 s
_FORECAST_AT_MOST = 2000  # documents; of more, evenly chosen ones stand for all


def schedules(times: ScheduleSettings) -> list[dg.ScheduleDefinition]:
    """All schedules, as the settings say that hold now."""
    return [
        dg.ScheduleDefinition(
            name="check_costs_hourly",
            job=check_costs,
            description="Checks the money also when no call was made: months begin, reservations expire, limits are "
            "changed.",
            **_when(times.check_costs_hourly),
        ),
        _nightly_catch_up(times.nightly_catch_up),
        _reembedding(times.reembedding),
        _monthly_cost_report(times.monthly_cost_report),
    ]


def _when(times: TimedSettings) -> dict[str, Any]:
    status = dg.DefaultScheduleStatus
    return {
        "cron_schedule": times.cron,
        "execution_timezone": times.time_zone,
        "default_status": status.RUNNING if times.enabled else status.STOPPED,
    }


def _nightly_catch_up(times: TimedSettings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="nightly_catch_up",
        job=ingest,
        description="Lists the watched root and requests a run of `ingest` for every collection with documents that "
        "are stale, wait for money or for a provider, may succeed when tried again, or have lost an artifact. What "
        "failed for good stays so until `aegis retry`.",
        **_when(times),
    )
    def nightly_catch_up(
        context: dg.ScheduleEvaluationContext, project: ProjectResource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        with project.opened() as opened:
            if opened.settings.root is None:
                return dg.SkipReason(NO_ROOT)
            fail_dead_runs(context.instance, JOB_NAMES)
            list_root(context.instance, opened, context.log.info, read_seconds=_READ_SECONDS)
            counts = _to_catch_up(opened)
            if not counts:
                return dg.SkipReason("Every document is up to date or failed for good.")
            removing = _traces_left(opened)
            return [
                dg.RunRequest(
                    run_key=f"nightly-{context.scheduled_execution_time.isoformat()}-{collection}",
                    partition_key=collection,
                    # The first one removes the traces of deleted documents, too; the list is up to date already.
                    run_config=unasked(opened, scan_root=removing and number == 0),
                    tags={WHY_TAG: f"{counts[collection]} documents"},
                )
                for number, collection in enumerate(sorted(counts))
            ]

    return nightly_catch_up


def _traces_left(project: Project) -> bool:
    work = WorkLeft(project.engine, project.identities)
    return bool(project.documents.deleted()) or (not project.vectors.exists() and work.anything_embedded())


def _to_catch_up(project: Project) -> Counter[CollectionName]:
    """How many documents of each collection have work left, deleted ones included."""
    # What costs is forecast first: by `reembedding`.
    stale = project.reports.stale(project.artifacts.listed(), embed_anew=not project.choices.embedding_is_paid)
    counts = Counter(document.collection for document in stale)
    work = WorkLeft(project.engine, project.identities)
    counts.update({collection: len(waiting) for collection, waiting in work.deleted().items()})
    if not project.vectors.exists() and work.anything_embedded():
        counts.update(document.collection for document in project.documents.all())
    return counts


def _reembedding(times: TimedSettings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="reembedding",
        job=ingest_parallel,
        description="Requests a run for every collection with documents whose vectors are not those of the current "
        "model and settings. It forecasts the costs first, and requests nothing when a provider's budget does not "
        "suffice: half an index of another model would be paid for and could not be searched.",
        **_when(times),
    )
    def reembedding(
        context: dg.ScheduleEvaluationContext, project: ProjectResource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        with project.opened() as opened:
            now_ms = int(opened.clock.now().timestamp() * 1000)
            stale = WorkLeft(opened.engine, opened.identities).embedded_otherwise(now_ms)
            if not stale:
                return dg.SkipReason("All vectors are those of the current model and settings.")
            expected = expect(opened, stale)
            if expected.short:
                return dg.SkipReason(f"{len(stale)} documents are stale. Expected: {expected.told}. {expected.short}")
            context.log.info(f"{len(stale)} documents are embedded anew. Expected: {expected.told}.")
            counts = Counter(document.collection for document in stale)
            return [
                dg.RunRequest(
                    run_key=f"reembedding-{context.scheduled_execution_time.isoformat()}-{collection}",
                    partition_key=collection,
                    run_config=IngestOptions(scan_root=False).run_config(),
                    tags={
                        WHY_TAG: f"{counts[collection]} of {len(stale)} documents to embed anew",
                        FORECAST_TAG: f"{expected.told} for all collections",
                    },
                )
                for collection in sorted(counts)
            ]

    return reembedding


@dataclass(frozen=True, slots=True)
class Expected:
    """What re-embedding is expected to cost."""

    told: str  # in words
    short: str  # what is missing, and the remedy; "" when the budgets suffice


def expect(project: Project, documents: Sequence[Document]) -> Expected:
    """Forecast the model calls for these documents, and compare with what each provider may still spend.

    Raises ConfigurationError as the run would.
    """
    if not project.choices.providers:
        return Expected("no model is asked, 0 USD", "")
    sample = documents[:: -(-len(documents) // _FORECAST_AT_MOST)]
    found = forecast(project, sample).totals
    by_provider = {
        name: cost * len(documents) // len(sample) for name, cost in found.cost_by_provider().items() if cost
    }
    calls = found.calls * len(documents) // len(sample)
    about = "about " if len(sample) < len(documents) else ""
    told = f"{about}{calls:,} calls, {shown_usd(sum(by_provider.values()))} USD"
    return Expected(told, " ".join(_short(project, by_provider)))


def _short(project: Project, by_provider: Mapping[str, int]) -> list[str]:
    accounts = {
        account.key.name: account
        for account in project.choices.ledger.accounts(month_of(project.clock.now()))
        if account.key.kind is AccountKind.PROVIDER
    }
    said = []
    for name, cost in by_provider.items():
        left = accounts[name].remaining if name in accounts else None
        if left is not None and cost > left:
            said.append(
                f"{name} may spend {shown_usd(max(0, left))} USD more this month. Remedy: `aegis budget raise` gives "
                "it more, or launch `ingest_parallel` yourself: what does not fit waits."
            )
    return said


def _monthly_cost_report(times: TimedSettings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="monthly_cost_report",
        job=report_month,
        description="Writes the report of the month before into the home's `reports`. Skips while that month, a UTC "
        "month, is not over.",
        **_when(times),
    )
    def monthly_report(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time
        month, ends = month_before(now), end_of_month_before(now)
        if now < ends:  # east of Greenwich the first of a month begins earlier
            return dg.SkipReason(
                f"{month} is not over: it is a UTC month and ends at {ends:%Y-%m-%d %H:%M} {times.time_zone}. Remedy: "
                f"set `schedules.monthly_cost_report.cron` to an hour after {ends:%H:%M}; for {month} launch "
                f"`report_month` with `month: {month}` then."
            )
        return dg.RunRequest(
            run_key=f"costs-{month}",
            run_config={"ops": {"monthly_cost_report": {"config": {"month": month}}}},
            tags={WHY_TAG: f"costs of {month}"},
        )

    return monthly_report
