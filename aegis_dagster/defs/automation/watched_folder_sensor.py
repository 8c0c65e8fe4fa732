"""The sensor `watched_folder`: it turns changes in the watched root into runs.

One tick brings the catalog's list up to date, so that the runs it requests need not list again. It keeps no state that
matters: it reads from Dagster's runs what was requested before, so that a repeated tick or a restarted daemon requests
nothing twice.
"""

import json
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.ingestion.assets import ASSETS
from aegis_dagster.defs.ingestion.cleanup import clean_up, put_partitions_right
from aegis_dagster.defs.ingestion.config import IngestOptions
from aegis_dagster.defs.ingestion.root_checks import DELETIONS_HELD, ROOT_READABLE, record
from aegis_dagster.defs.jobs import ASSET_JOB, IN_CONTAINERS, JOB_NAMES, ON_RAY, ingest, ingest_parallel
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.defs.runs import NOT_OVER, OVER, PARTITION_TAG, fail_dead_runs, location_of
from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.markdown import unlinked
from aegis_dagster.domain.run_requests import Ended, Plan, Request, Waiting, digest_of_work, plan_requests
from aegis_dagster.errors import RootUnreadable
from aegis_dagster.settings.schedules import WatchedFolderSettings
from aegis_dagster.stages.sync import ListingReport, update_listing
from aegis_dagster.stores.catalog.pending_work import WorkLeft

# Dagster itself passes `owners` when it resolves a sensor's jobs; every command would print the warning.
warnings.filterwarnings("ignore", category=dg.BetaWarning, message="Parameter `owners` of initializer `SensorDef.*")

WORK_TAG, WHY_TAG = "aegis/work", "aegis/why"
NO_ROOT = "No watched root is set. Remedy: set AEGIS_ROOT, or run `aegis ingest`."
_JOBS = (ingest.name, ingest_parallel.name, IN_CONTAINERS, ON_RAY, clean_up.name)
_ASSETS = frozenset(key for asset in ASSETS for key in asset.keys)
_QUIET_MS = 10 * 60_000  # nothing to do: the states are read again when they change, and at this interval anyway
_BUSY_MS = 60_000  # runs cover all collections: their progress changes the states all the time
_NAMED = 10  # paths named in one log line

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rest:
    """The cursor: until when the states of all documents need not be read again. Losing it costs a few seconds."""

    mark: str = ""  # of the states; "": regardless of their changes
    until_ms: int = 0

    def lasts(self, work: WorkLeft, now_ms: int) -> bool:
        """Whether no work can have come up since. Not used when the listing found something."""
        return now_ms < self.until_ms and (not self.mark or self.mark == work.mark())


def look(
    instance: dg.DagsterInstance, project: Project, log: Log, rest: Rest, *, read_seconds: float
) -> tuple[Plan, Rest, str]:
    """Bring the list and the partitions up to date. Returns the requests, the rest, and a summary in words.

    Raises RootUnreadable after recording it, ServiceError.
    """
    report = list_root(instance, project, log, read_seconds=read_seconds)
    work = WorkLeft(project.engine, project.identities)
    now_ms = int(project.clock.now().timestamp() * 1000)
    if not found_anything(report) and rest.lasts(work, now_ms):
        return Plan((), (), (), ()), rest, told(report, Plan((), (), (), ()))
    mark = work.mark()
    left = work_of(project, work, now_ms)
    plan = plan_for(instance, project, left, now_ms)
    if not left:
        rest = Rest(mark, now_ms + _QUIET_MS)
    else:
        rest = Rest() if plan.requests or plan.later else Rest("", now_ms + _BUSY_MS)
    return plan, rest, told(report, plan)


def list_root(instance: dg.DagsterInstance, project: Project, log: Log, *, read_seconds: float | None) -> ListingReport:
    """List the watched root into the catalog and update the partitions. Raises RootUnreadable, recorded as a check."""
    try:
        report = update_listing(project.source, project.documents, project.guard(), read_seconds=read_seconds)
    except RootUnreadable as error:
        record(instance, project, ROOT_READABLE, str(error))
        raise
    record(instance, project, ROOT_READABLE, "")
    project.require_exact_names()
    if not report.undecided and record(instance, project, DELETIONS_HELD, report.held_message) and report.held_message:
        log(unlinked(report.held_message))
    put_partitions_right(instance, project)
    for line in details(report):
        log(unlinked(line))
    return report


def found_anything(report: ListingReport) -> bool:
    """Whether the listing changed the catalog, or will with the next tick."""
    diff, deleted = report.diff, report.diff.deleted and not report.deletions_held
    return bool(diff.new or diff.changed or diff.moved or deleted or report.unread)


def work_of(project: Project, work: WorkLeft, now_ms: int) -> dict[CollectionName | None, list[Waiting]]:
    """The documents that a run started now would process; under None, those whose traces it would remove."""
    by_collection = work.by_collection(now_ms, embed_anew=not project.choices.embedding_is_paid)
    found: dict[CollectionName | None, list[Waiting]] = dict(by_collection.items())
    gone = [waiting for each in work.deleted().values() for waiting in each]
    if gone or work.vectors_are_lost(project.vectors):
        found[None] = gone
    return found


def plan_for(
    instance: dg.DagsterInstance,
    project: Project,
    left: Mapping[CollectionName | None, Sequence[Waiting]],
    now_ms: int,
) -> Plan:
    """Decide which collections get a run, given the runs that Dagster knows."""
    digests = {name: digest_of_work(name, documents, project.identities) for name, documents in left.items()}
    if not left:
        return Plan((), (), (), ())
    return plan_requests(
        left, digests, active_ms=at_work(instance), ended=_ended(instance, digests.values()), now_ms=now_ms
    )


def unasked(project: Project, *, scan_root: bool = False) -> dict[str, Any]:
    """The run config of an automatic run. It leaves paid re-embedding to the schedule, which forecasts the cost."""
    return IngestOptions(scan_root=scan_root, embed_anew=not project.choices.embedding_is_paid).run_config()


def run_request(request: Request, run_config: Mapping[str, Any]) -> dg.RunRequest:
    """The request in Dagster's form. run_config: for a run of `ingest`."""
    tags = {WORK_TAG: request.digest, WHY_TAG: request.why}
    if request.collection is None:
        return dg.RunRequest(run_key=request.run_key, job_name=clean_up.name, tags=tags)
    return dg.RunRequest(
        run_key=request.run_key,
        job_name=ingest.name,
        partition_key=request.collection,
        run_config=run_config,
        tags=tags,
    )


def at_work(instance: dg.DagsterInstance) -> dict[CollectionName | None, int]:
    """When the newest unfinished run of each collection was created; None: a run that removes traces."""
    found: dict[CollectionName | None, int] = {}
    for stored in instance.get_run_records(filters=dg.RunsFilter(statuses=NOT_OVER)):
        run = stored.dagster_run
        if run.job_name in _JOBS or _materializes(run):
            partition = run.tags.get(PARTITION_TAG)
            name = None if run.job_name == clean_up.name else CollectionName(partition or "")
            found[name] = max(found.get(name, 0), int(stored.create_timestamp.timestamp() * 1000))
    return found


def _materializes(run: dg.DagsterRun) -> bool:
    """Whether somebody materialized some of the five assets, or all assets, by hand."""
    chosen = run.asset_selection
    return run.job_name == ASSET_JOB and (chosen is None or not _ASSETS.isdisjoint(chosen))


def _ended(instance: dg.DagsterInstance, digests: Collection[str]) -> dict[str, Ended]:
    """How many runs for each of these works have ended, and when."""
    wanted = dg.RunsFilter(statuses=OVER, tags={WORK_TAG: list(digests)})
    found: dict[str, Ended] = {}
    for stored in instance.get_run_records(filters=wanted):
        digest = stored.dagster_run.tags[WORK_TAG]
        before = found.get(digest, Ended(0, 0))
        last = int((stored.end_time or stored.create_timestamp.timestamp()) * 1000)
        found[digest] = Ended(before.runs + 1, max(before.last_ms, last))
    return found


def details(report: ListingReport) -> list[str]:
    """Log lines: what was moved and what was passed over, and why."""
    lines = [f"moved: {source} is now {target}" for source, target in report.diff.moved[:_NAMED]]
    lines += [f"passed over: {item.path}: {item.reason}. {item.remedy}" for item in report.passed_over[:_NAMED]]
    left_out = max(0, len(report.diff.moved) - _NAMED) + max(0, len(report.passed_over) - _NAMED)
    return [*lines, f"and {left_out} more of these"] if left_out else lines


def told(report: ListingReport, plan: Plan) -> str:
    """One line about a tick."""
    diff = report.diff
    counts = {
        "new": len(diff.new),
        "changed": len(diff.changed),
        "moved": len(diff.moved),
        "deleted": len(diff.deleted) if not report.deletions_held and not report.unread else 0,
        "passed over": len(report.passed_over),
        "to be read by the next look": report.unread,
    }
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing changed"
    parts = [f"{said[0].upper()}{said[1:]}, {diff.unchanged} unchanged."]
    for what, names in (
        ("A run is at work on", plan.at_work),
        ("Runs ended without finishing, tried again later", plan.resting),
        ("Requested by the next look", plan.later),
    ):
        if names:
            parts.append(f"{what}: {', '.join(names[:_NAMED])}{' ...' if len(names) > _NAMED else ''}.")
    return " ".join([*parts, report.held_message]).strip()


def watched_folder_sensor(settings: WatchedFolderSettings) -> dg.SensorDefinition:
    """The sensor, according to the current settings."""

    @dg.sensor(
        name="watched_folder",
        jobs=[ingest, clean_up],
        minimum_interval_seconds=settings.seconds,
        default_status=dg.DefaultSensorStatus.RUNNING if settings.enabled else dg.DefaultSensorStatus.STOPPED,
        description="Looks at the watched root: new collections become partitions, each collection with new, changed "
        "or moved documents gets a run of `ingest`, deleted documents one of `clean_up`; at most 10 runs a look. A "
        "root that cannot be read fails the look and the check `root_readable`, and deletes nothing.",
    )
    def watched_folder(context: dg.SensorEvaluationContext, project: ProjectResource) -> dg.SensorResult:
        fail_dead_runs(context.instance, JOB_NAMES, location_of(context))
        with project.opened() as opened:
            if opened.settings.root is None:
                return dg.SensorResult(skip_reason=NO_ROOT)
            rest = Rest(**json.loads(context.cursor)) if context.cursor else Rest()
            seconds = opened.settings.schedules.watched_folder.read_seconds
            plan, rest, said = look(context.instance, opened, context.log.info, rest, read_seconds=seconds)
            requests = [run_request(request, unasked(opened)) for request in plan.requests]
        if requests:
            context.log.info(unlinked(said))
        return dg.SensorResult(
            run_requests=requests, skip_reason=None if requests else said, cursor=json.dumps(asdict(rest))
        )

    return watched_folder
