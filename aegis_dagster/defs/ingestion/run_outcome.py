"""What a run says of itself where operators look first: in the list of runs and above its log."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import dagster as dg

from aegis_dagster.defs.ingestion.config import COLLECTION_TAG
from aegis_dagster.domain.document_state import DocumentState
from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.errors import AegisError
from aegis_dagster.stores.catalog.reports import failures_of

OUTCOME = "aegis/outcome"
_LINES = 10  # of failed documents in a log; the table of the asset has more, the catalog all
_CHARACTERS = 200  # of a tag
_STOPPED = "stopped at "
_ENDED = ".dagster/aegis_ended/"  # hidden in the UI


@contextmanager
def failure_noted(context: dg.AssetExecutionContext, stage: Stage) -> Iterator[None]:
    """The run's tag says at which stage it stopped and why; a retry that succeeds replaces it."""
    try:
        yield
    except AegisError as error:
        _tag(context, f"{_stopped_at(stage)}{error.message}")
        raise


def note_outcome(context: dg.AssetExecutionContext, stage: Stage, states: Sequence[DocumentState]) -> None:
    """Log what failed at this stage; tag the run with how its documents stand.

    Only the stage that ends last says "succeeded": a run may still stop at one that has yet to end.
    """
    failed = [item for item in failures_of(states) if item.stage is stage]
    for item in failed[:_LINES]:
        failure = item.failure
        context.log.warning(f"{item.document_id}: {failure.code}: {failure.message} Remedy: {failure.remedy}")
    if len(failed) > _LINES:
        context.log.warning(f"{len(failed) - _LINES} more failed documents: `aegis status --failed`.")
    tags = _ended(context)
    stopped = tags.get(OUTCOME, "")
    if stopped.startswith(_STOPPED) and not stopped.startswith(_stopped_at(stage)):
        return  # another stage, which nobody has mended in this run
    _tag(context, outcome(states, ended=_all_ended(context, tags)))


def outcome(states: Sequence[DocumentState], *, ended: bool) -> str:
    """ "succeeded with 1 failed document, 2 waiting"; without the first words while stages have yet to end."""
    failed = len({item.document_id for item in failures_of(states)})
    waiting = sum(state.status is Status.DEFERRED for state in states)
    parts = [f"{failed} failed document{'' if failed == 1 else 's'}"] if failed else []
    parts += [f"{waiting} waiting"] if waiting else []
    if not ended:
        return ", ".join(parts)
    return f"succeeded with {', '.join(parts)}" if parts else "succeeded"


def _stopped_at(stage: Stage) -> str:
    return f"{_STOPPED}{stage}: "


def _ended(context: dg.AssetExecutionContext) -> dict[str, str]:
    """Mark that this asset has ended; all tags of the run, those of steps beside this one among them.

    Whoever of two steps marks last sees both marks. (Of the materializations, which follow, neither might see the
    other's.)
    """
    context.instance.add_run_tags(context.run.run_id, {f"{_ENDED}{context.asset_key.to_user_string()}": "yes"})
    run = context.instance.get_run_by_id(context.run.run_id)
    return dict(run.tags) if run is not None else {}


def _all_ended(context: dg.AssetExecutionContext, tags: Mapping[str, str]) -> bool:
    """Whether every asset of this run has ended."""
    selected = context.run.asset_selection or context.job_def.asset_layer.executable_asset_keys
    return all(f"{_ENDED}{key.to_user_string()}" in tags for key in selected)


def _tag(context: dg.AssetExecutionContext, value: str) -> None:
    tags = {COLLECTION_TAG: context.partition_key, **({OUTCOME: value[:_CHARACTERS]} if value else {})}
    context.instance.add_run_tags(context.run.run_id, tags)
