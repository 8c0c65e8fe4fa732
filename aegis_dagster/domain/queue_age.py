"""Since when a document waits for the stages. Pure.

A document waits from the moment its bytes were recorded until embed and graph, which come last, have ended with them.
One that was through and is stale because a setting changed does not wait: its old result is there to be asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aegis_dagster.domain.stages import Stage, Status

_LAST = (Stage.EMBED, Stage.GRAPH)
_STOPPED = (Status.FAILED, Status.DEFERRED)
_ENDED = (Status.DONE, Status.SKIPPED)


@dataclass(frozen=True, slots=True)
class Mark:
    """What is known of a document at one stage. Times are milliseconds since 1970-01-01 UTC."""

    status: Status
    current: bool  # its fingerprint is the wanted one
    started_ms: int | None
    finished_ms: int | None  # None while it runs

    def of_these_bytes(self, changed_ms: int) -> bool:
        """Whether the work began with the bytes that the document has now."""
        return self.current or (self.started_ms is not None and self.started_ms >= changed_ms)


def waiting_since(changed_ms: int, marks: Mapping[Stage, Mark]) -> int | None:
    """Since when a document waits, in the unit of `Mark`; None: it does not.

    changed_ms: when its bytes were recorded. One that failed or was put off with these bytes does not wait. While
    only the last stages run, nothing tells a first time from one more time under other settings, so that the age of
    the bytes says nothing: it waits since they began.
    """
    if any(mark.status in _STOPPED and mark.of_these_bytes(changed_ms) for mark in marks.values()):
        return None
    left = [marks.get(stage) for stage in _LAST if not _through(marks.get(stage), changed_ms)]
    if not left:
        return None
    running = [
        mark.started_ms
        for mark in left
        if mark is not None and mark.status is Status.RUNNING and mark.started_ms is not None
    ]
    return min(running) if len(running) == len(left) else changed_ms


def _through(mark: Mark | None, changed_ms: int) -> bool:
    if mark is None:
        return False
    if mark.current and mark.status in _ENDED:
        return True
    return mark.finished_ms is not None and mark.of_these_bytes(changed_ms)
