"""The schedule `nightly_catch_up`: it requests runs for all documents that are not up to date.

A schedule can start runs of one job only. So one of its runs of `ingest` lists the root and removes traces, instead of
a run of `clean_up`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.automation.fairness import turn, when
from aegis_dagster.defs.automation.watched_folder_sensor import NO_ROOT, WHY_TAG, Log, at_work, list_root, unasked
from aegis_dagster.defs.ingestion.config import collections
from aegis_dagster.defs.jobs import JOB_NAMES, ingest
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.defs.runs import fail_dead_runs
from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.markdown import unlinked
from aegis_dagster.domain.stages import Stage
from aegis_dagster.settings.schedules import TimedSettings
from aegis_dagster.stores.catalog.pending_work import WorkLeft

NAME = "nightly_catch_up"
MOST_RUNS = 200  # of one night: two at once need an hour and more for them, and Dagster makes them one after the other
_READ_SECONDS = 8.0  # of new files; Dagster gives up a tick after 60 s


@dataclass(frozen=True, slots=True)
class Night:
    """What one tick requests."""

    why: Mapping[CollectionName, str]  # of each collection that gets a run, in this order
    lists: bool  # the first one lists the root to its end, and removes traces
    told: str  # which collections get no run, and why


def nightly_catch_up(times: TimedSettings) -> dg.ScheduleDefinition:
    """The schedule, according to the current settings."""

    @dg.schedule(
        name=NAME,
        job=ingest,
        description="Lists the watched root and requests a run of `ingest` for every collection with documents that "
        "are stale, wait for money or for a provider, may succeed when tried again, or have lost an artifact; at most "
        f"{MOST_RUNS} runs a night, none where one is queued or in progress. What failed for good stays so until "
        "`aegis retry`.",
        **when(times),
    )
    def tick(context: dg.ScheduleEvaluationContext, project: ProjectResource) -> list[dg.RunRequest] | dg.SkipReason:
        with project.opened() as opened:
            if opened.settings.root is None:
                return dg.SkipReason(NO_ROOT)
            fail_dead_runs(context.instance, JOB_NAMES)
            night = plan_night(context.instance, opened, context.log.info, read_seconds=_READ_SECONDS)
            if not night.why:
                return dg.SkipReason(night.told or "Every document is up to date or failed for good.")
            if night.told:
                context.log.info(unlinked(night.told))
            return [
                dg.RunRequest(
                    run_key=f"nightly-{context.scheduled_execution_time.isoformat()}-{collection}",
                    partition_key=collection,
                    run_config=unasked(opened, scan_root=night.lists and number == 0),
                    tags={WHY_TAG: why},
                )
                for number, (collection, why) in enumerate(night.why.items())
            ]

    return tick


def plan_night(
    instance: dg.DagsterInstance, project: Project, log: Log, *, read_seconds: float, most: int = MOST_RUNS
) -> Night:
    """Bring the list and the partitions up to date, and decide which collections get a run.

    Raises RootUnreadable after recording it, ServiceError.
    """
    report = list_root(instance, project, log, read_seconds=read_seconds)
    work = WorkLeft(project.engine, project.identities)
    lost = work.vectors_are_lost(project.vectors)
    if lost:
        # Before any run begins: of two simultaneous runs, one would be past embedding when the other notices.
        reset = project.catalog.reset_stage(Stage.EMBED)
        log(f"The vector store is gone: {reset} documents are published again, from the cache.")
    # Work that costs money is left to `reembedding`, which forecasts it first.
    stale = project.reports.stale(project.artifacts.listed(), embed_anew=not project.choices.embedding_is_paid)
    counts = Counter(document.collection for document in stale)
    active = {} if lost else at_work(instance)  # a run at work may be past embedding
    this = turn(instance, NAME, counts, at_work=[name for name in active if name], most=most)
    why = {name: f"{counts[name]} documents" for name in this.requested}
    traces = {} if None in active else work.deleted()
    if traces and not why:
        why = _traces_only(instance, {name: len(gone) for name, gone in traces.items() if name not in active})
    return Night(why, lists=bool(traces or report.unread), told=this.told())


def _traces_only(instance: dg.DagsterInstance, traces: Mapping[CollectionName, int]) -> dict[CollectionName, str]:
    """One run that removes all traces, if no other run is needed.

    Its collection may have no partition (any more): it gets one until the first listing after the run.
    """
    if not traces:
        return {}
    name = min(traces)
    instance.add_dynamic_partitions(str(collections.name), [name])
    return {name: f"traces of {sum(traces.values())} deleted documents"}
