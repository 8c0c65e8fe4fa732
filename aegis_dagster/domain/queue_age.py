"""How long a document has been waiting for the stages. Pure.

A document waits from the moment its bytes were recorded until embed and graph, the last stages, have ended for them.
A finished document that is stale because a setting changed does not wait: its old result can still be searched.
"""

from aegis_dagster.domain.document_state import DocumentState
from aegis_dagster.domain.stages import Stage, StageState, Status

_LAST = (Stage.EMBED, Stage.GRAPH)
_STOPPED = (Status.FAILED, Status.DEFERRED)
_ENDED = (Status.DONE, Status.SKIPPED)


def waiting_since(state: DocumentState) -> int | None:
    """When a document's wait began, in ms since 1970-01-01 UTC; None: it does not wait.

    A document that failed or was deferred with these bytes does not wait. While only the last stages run, a first
    pass cannot be distinguished from a repetition under new settings, so the age of the bytes is meaningless: then
    the wait began when these stages began.
    """
    recorded = state.recorded
    if any(one.status in _STOPPED and _of_these_bytes(state, stage, one) for stage, one in recorded.items()):
        return None
    left = [recorded.get(stage) for stage in _LAST if not _through(state, stage)]
    if not left:
        return None
    running = [
        one.started_ms
        for one in left
        if one is not None and one.status is Status.RUNNING and one.started_ms is not None
    ]
    return min(running) if len(running) == len(left) else state.changed_ms


def _of_these_bytes(state: DocumentState, stage: Stage, one: StageState) -> bool:
    """Whether the work began with the bytes that the document has now."""
    current = one.fingerprint == state.wanted[stage]
    return current or (one.started_ms is not None and one.started_ms >= state.changed_ms)


def _through(state: DocumentState, stage: Stage) -> bool:
    one = state.recorded.get(stage)
    if one is None:
        return False
    if state.status_at(stage) in _ENDED:
        return True
    return one.finished_ms is not None and _of_these_bytes(state, stage, one)
