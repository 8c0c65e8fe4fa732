"""Why a run would work on a document at a stage."""

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum

from aegis_dagster.domain.stages import (
    ARTIFACT_STAGES,
    UPSTREAM,
    Readiness,
    Stage,
    StageState,
    Status,
    readiness,
    up_to_date,
)
from aegis_dagster.errors import BudgetExhausted


class Why(StrEnum):
    """A reason to work on a document, as an operator reads it."""

    NEW = "new"
    BYTES = "bytes changed"
    SETTINGS = "settings, model or code changed"
    RETRY = "earlier failure, tried again"
    PUT_OFF = "was put off, tried again"
    UNFINISHED = "not finished yet"
    LOST = "its result is gone from the store"
    KNOWN = "equal content is done already: only recorded"
    FORCED = "forced"
    FOLLOWS = "depends on how an earlier stage ends"
    CLEARED = "an earlier stage failed: what was published of it goes"


_MAY_CHANGE = (Why.RETRY, Why.PUT_OFF, Why.FOLLOWS)  # how they end decides what the stage below has to do
_CERTAIN = (Why.NEW, Why.BYTES, Why.SETTINGS, Why.KNOWN)  # whatever becomes of the stage above


def reasons(
    states: Mapping[Stage, StageState],
    wanted: Mapping[Stage, str],
    *,
    there: Collection[Stage],
    bytes_changed: bool,
    forced: Collection[Stage] = (),
    off: Collection[Stage] = (),
) -> dict[Stage, Why]:
    """The stages with work on a document and why; what needs nothing is absent.

    there: the stages whose wanted artifact is in the store. off: stages that are off for the collection.
    """
    found: dict[Stage, Why] = {}
    cleared: set[Stage] = set()  # an earlier stage failed for good, and nothing is done about it
    for stage in Stage:
        above = UPSTREAM[stage]
        ready = readiness(stage, states, wanted)
        if above in cleared or (ready is Readiness.CLEAR and above not in found):
            cleared.add(stage)
        why = _own(stage, states, wanted, stage in there, bytes_changed)
        if stage in off:
            why = None
        elif stage in cleared:
            why = Why.CLEARED if why and stage in states else None
        elif stage in forced:
            why = Why.FORCED
        elif above is not None and _waits(why, found.get(above), ready):
            why = Why.FOLLOWS
        if why is not None:
            found[stage] = why
    return found


def _waits(why: Why | None, above: Why | None, ready: Readiness) -> bool:
    """Whether what there is to do is known only when the stage above has ended."""
    if above in _MAY_CHANGE:
        return True
    return ready is Readiness.BLOCKED and why is not None and above not in _CERTAIN and why not in _CERTAIN


def _own(
    stage: Stage, states: Mapping[Stage, StageState], wanted: Mapping[Stage, str], there: bool, bytes_changed: bool
) -> Why | None:
    state = states.get(stage)
    if up_to_date(stage, states, wanted):
        lost = stage in ARTIFACT_STAGES and state is not None and state.status is Status.DONE and not there
        return Why.LOST if lost else None
    if state is not None and state.fingerprint == wanted[stage]:
        return {Status.FAILED: Why.RETRY, Status.DEFERRED: Why.PUT_OFF}.get(state.status, Why.UNFINISHED)
    if there:
        return Why.KNOWN
    if state is None:
        return Why.UNFINISHED if Stage.PARSE in states and not bytes_changed else Why.BYTES if states else Why.NEW
    return Why.BYTES if bytes_changed else Why.SETTINGS


RETRY_AFTER_MS = 10 * 60_000  # a document that failed for a passing reason is tried again so much later


def has_work(
    states: Mapping[Stage, StageState],
    wanted: Mapping[Stage, str],
    finished_ms: Mapping[Stage, int],
    now_ms: int,
) -> bool:
    """Whether a run started now would do something for the document at some stage.

    Not for one that failed for good, failed a moment ago, or waits for a provider or for money before its time.
    """
    for stage in Stage:
        if up_to_date(stage, states, wanted) or readiness(stage, states, wanted) is Readiness.BLOCKED:
            continue
        state = states.get(stage)
        if state is None or state.fingerprint != wanted[stage]:
            return True
        if state.status is Status.FAILED and now_ms < finished_ms.get(stage, 0) + RETRY_AFTER_MS:
            continue
        if state.status is Status.DEFERRED and not _money_is_back(state, now_ms):
            continue
        return True
    return False


def only_embedding_is_stale(states: Mapping[Stage, StageState], wanted: Mapping[Stage, str]) -> bool:
    """Whether nothing but another embedding model, or its settings, gives a run something to do.

    The chunks are those that are wanted, and were embedded before.
    """
    embedded = states.get(Stage.EMBED)
    return (
        embedded is not None
        and embedded.status is Status.DONE
        and embedded.fingerprint != wanted[Stage.EMBED]
        and all(up_to_date(stage, states, wanted) for stage in Stage if stage is not Stage.EMBED)
    )


def _money_is_back(state: StageState, now_ms: int) -> bool:
    """Whether the month for which no money was left is over. Who waits for a provider waits for the nightly run."""
    until = str(state.facts.get("until") or "")
    if state.facts.get("reason") != BudgetExhausted.reason or not until:
        return False
    return datetime.fromisoformat(until).timestamp() * 1000 <= now_ms
