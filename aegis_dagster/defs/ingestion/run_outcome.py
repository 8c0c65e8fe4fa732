"""The outcome that a run shows where operators look first: in the list of runs and above its log."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import dagster as dg

from aegis_dagster.defs.ingestion.config import COLLECTION_TAG
from aegis_dagster.domain.document_state import DocumentState
from aegis_dagster.domain.markdown import unlinked
from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.errors import AegisError
from aegis_dagster.stores.catalog.reports import failures_of

OUTCOME = "aegis/outcome"
_LINES = 10  # failed documents in a log; the table of the asset has more, the catalog has all
_CHARACTERS = 200  # of a tag
_STOPPED = "stopped at "
_ENDED = ".dagster/aegis_ended/"  # hidden in the UI


@contextmanager
def failure_noted(context: dg.AssetExecutionContext, stage: Stage) -> Iterator[None]:
    """Tag the run with the stage at which it stopped and why; a successful retry replaces the tag."""
    try:
        yield
    except AegisError as error:
        _tag(context, f"{_stopped_at(stage)}{error.message}")
        raise


def note_outcome(context: dg.AssetExecutionContext, stage: Stage, states: Sequence[DocumentState]) -> None:
    """Log the failures of this stage; tag the run with the outcome of its documents.

    Only the stage that ends last writes "succeeded": until then the run may still stop.
    """
    failed = [item for item in failures_of(states) if item.stage is stage]
    for item in failed[:_LINES]:
        failure = item.failure
        said = f"{item.document_id}: {failure.code}: {failure.message} Remedy: {failure.remedy}"
        context.log.warning(unlinked(said))
    if len(failed) > _LINES:
        context.log.warning(f"{len(failed) - _LINES} more failed documents: `aegis status --failed`.")
    tags = _ended(context)
    stopped = tags.get(OUTCOME, "")
    if stopped.startswith(_STOPPED) and not stopped.startswith(_stopped_at(stage)):
        return  # another stage stopped, and no retry in this run has fixed it
    _tag(context, outcome(states, ended=_all_ended(context, tags)))


def outcome(states: Sequence[DocumentState], *, ended: bool) -> str:
    """ "succeeded with 1 failed document, 2 waiting"; without "succeeded with" until all stages have ended."""
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
    """Mark that this asset has ended. Returns all tags of the run, including those of parallel steps.

    Of two steps, the one that marks last sees both marks. (The materializations come later: neither step might see the
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
