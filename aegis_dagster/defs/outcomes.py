"""What a run says of itself where operators look first: in the list of runs and above its log.

Belongs here: the tag `aegis/outcome`, and the few lines of a log that name failed documents.
Does not belong here: failures as a table (`metadata.py`), deciding whether a step fails (`failures.py`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dagster as dg

from aegis_dagster.composition import Project
from aegis_dagster.domain.stages import Document, Stage, Status
from aegis_dagster.errors import AegisError
from aegis_dagster.stores.catalog_reports import FailedDocument

OUTCOME, COLLECTION = "aegis/outcome", "aegis/collection"
_LINES = 10  # of failed documents in a log; the table of the asset has more, the catalog all
_CHARACTERS = 200  # of a tag


@contextmanager
def failure_noted(context: dg.AssetExecutionContext, stage: Stage) -> Iterator[None]:
    """The run's tag says at which stage it stopped and why; a retry that succeeds replaces it."""
    try:
        yield
    except AegisError as error:
        _tag(context, f"stopped at {stage}: {error.message}")
        raise


def note_outcome(
    context: dg.AssetExecutionContext, project: Project, documents: Sequence[Document], failed: Sequence[FailedDocument]
) -> None:
    """Log what failed at this stage; tag the run with how its documents stand.

    Only the stage that ends last says "succeeded": a run may still stop at one that has yet to end.
    """
    for item in failed[:_LINES]:
        failure = item.failure
        context.log.warning(f"{item.document_id}: {failure.code}: {failure.message} Remedy: {failure.remedy}")
    if len(failed) > _LINES:
        context.log.warning(f"{len(failed) - _LINES} more failed documents: `aegis status --failed`.")
    _tag(context, outcome(project, documents, ended=_others_ended(context)))


def outcome(project: Project, documents: Sequence[Document], *, ended: bool) -> str:
    """ "succeeded with 1 failed document, 2 waiting"; without the first words while stages have yet to end."""
    failed = len({item.document_id for item in project.reports.failures(documents)})
    waiting = sum(summary.by_status[Status.DEFERRED] for summary in project.reports.summaries(documents))
    parts = [f"{failed} failed document{'' if failed == 1 else 's'}"] if failed else []
    parts += [f"{waiting} waiting"] if waiting else []
    if not ended:
        return ", ".join(parts)
    return f"succeeded with {', '.join(parts)}" if parts else "succeeded"


def _others_ended(context: dg.AssetExecutionContext) -> bool:
    """Whether every other asset of this run is materialized."""
    selected = context.run.asset_selection or context.job_def.asset_layer.executable_asset_keys
    records = context.instance.get_records_for_run(
        context.run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    ).records
    events = [record.event_log_entry.dagster_event for record in records]
    made = {event.asset_key for event in events if event is not None}
    return {*selected} - {context.asset_key} <= made


def _tag(context: dg.AssetExecutionContext, value: str) -> None:
    tags = {COLLECTION: context.partition_key, **({OUTCOME: value[:_CHARACTERS]} if value else {})}
    context.instance.add_run_tags(context.run.run_id, tags)
