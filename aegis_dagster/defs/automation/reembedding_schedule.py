"""The schedule `reembedding`, for documents whose vectors are not those of the current model and settings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.automation.fairness import turn, when
from aegis_dagster.defs.automation.watched_folder_sensor import WHY_TAG, at_work
from aegis_dagster.defs.ingestion.cleanup import put_partitions_right
from aegis_dagster.defs.ingestion.config import IngestOptions
from aegis_dagster.defs.jobs import JOB_NAMES, ingest_parallel
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.defs.runs import fail_dead_runs, partitions_at_work
from aegis_dagster.domain.accounts import AccountKind
from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.money import month_of, shown_usd
from aegis_dagster.domain.stages import Document
from aegis_dagster.planning.forecast import forecast
from aegis_dagster.settings.schedules import TimedSettings
from aegis_dagster.stores.catalog.pending_work import WorkLeft

NAME = "reembedding"
FORECAST_TAG = "aegis/forecast"
MOST_RUNS = 1000  # of one tick: more than of a night, as the next is in a week, and half an index is of no use
_FORECAST_AT_MOST = 2000  # documents to forecast; of more, an even sample stands for all


def reembedding(times: TimedSettings) -> dg.ScheduleDefinition:
    """The schedule, according to the current settings."""

    @dg.schedule(
        name=NAME,
        job=ingest_parallel,
        description="Requests a run for every collection with documents whose vectors are not those of the current "
        f"model and settings; at most {MOST_RUNS} runs a tick, none where one is queued or in progress. It forecasts "
        "the costs first, and requests nothing when a provider's budget does not suffice: half an index of another "
        "model would be paid for and could not be searched.",
        **when(times),
    )
    def tick(context: dg.ScheduleEvaluationContext, project: ProjectResource) -> list[dg.RunRequest] | dg.SkipReason:
        with project.opened() as opened:
            now_ms = int(opened.clock.now().timestamp() * 1000)
            stale = WorkLeft(opened.engine, opened.identities).embedded_otherwise(now_ms)
            if not stale:
                return dg.SkipReason("All vectors are those of the current model and settings.")
            expected = expect(opened, stale)
            if expected.short:
                return dg.SkipReason(f"{len(stale)} documents are stale. Expected: {expected.told}. {expected.short}")
            fail_dead_runs(context.instance, JOB_NAMES)
            put_partitions_right(context.instance, opened)  # `IngestionPipeline` makes none
            counts = Counter(document.collection for document in stale)
            this = turn(
                context.instance, NAME, counts, at_work=_embedded_already(context.instance, opened), most=MOST_RUNS
            )
            if not this.requested:
                return dg.SkipReason(f"{len(stale)} documents are stale. {this.told()}")
            context.log.info(f"{len(stale)} documents are stale. Expected: {expected.told}. {this.told()}".rstrip())
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
                for collection in this.requested
            ]

    return tick


def _embedded_already(instance: dg.DagsterInstance, project: Project) -> set[CollectionName]:
    """The collections with a queued or running run that re-embeds.

    Where embedding is paid, automatic runs leave re-embedding to this schedule (`embed_anew`). They do not count: the
    nightly runs may last until this schedule's tick, which comes once a week.
    """
    found = {name for name in at_work(instance) if name}
    if found and project.choices.embedding_is_paid:
        found &= {CollectionName(name) for name in partitions_at_work(instance, _embeds_anew)}
    return found


def _embeds_anew(run: dg.DagsterRun) -> bool:
    config: Any = run.run_config
    for key in ("resources", "ingest_options", "config"):
        config = config.get(key, {})
    return bool(config.get("embed_anew", True))


@dataclass(frozen=True, slots=True)
class Expected:
    """What re-embedding is expected to cost."""

    told: str  # in words
    short: str  # what is missing, and the remedy; "" when the budgets suffice


def expect(project: Project, documents: Sequence[Document]) -> Expected:
    """Forecast the model calls for these documents, and compare them with the remaining budget of each provider.

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
