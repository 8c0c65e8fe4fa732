"""A document with its states: what is up to date, what may be worked on, what has work and why."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from aegis_dagster.domain.stages import (
    ARTIFACT_STAGES,
    UPSTREAM,
    UPSTREAM_FAILED,
    Document,
    Stage,
    StageState,
    Status,
)
from aegis_dagster.errors import BudgetExhausted

_DONE = Status.DONE
RETRY_AFTER_MS = 10 * 60_000  # a document that failed for a passing reason is tried again so much later

Exists = Callable[[Stage, str], bool]  # looks for an artifact: `FolderArtifacts.exists` or `listed`


class Readiness(StrEnum):
    """What the state of the stage above allows."""

    READY = "ready"
    BLOCKED = "blocked"  # the stage above has yet to come, or may still succeed: leave everything as it is
    CLEAR = "clear"  # the stage above failed for good: what was published of the document must go


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


def all_there(_stage: Stage, _fingerprint: str) -> bool:
    """Where nobody looks: every artifact counts as there."""
    return True


@dataclass(frozen=True, slots=True)
class DocumentState:
    """A document, the states recorded of it, and the fingerprints it should have now at each stage."""

    document: Document
    recorded: Mapping[Stage, StageState]  # the stages it has reached
    wanted: Mapping[Stage, str]
    changed_ms: int = 0  # when the catalog recorded its revision
    edited: bool = False  # the catalog has not heard of this revision yet, only of another

    def is_current(self, stage: Stage) -> bool:
        """Whether it needs nothing at a stage, by what is recorded."""
        return self._settled(stage, self.readiness(stage))

    def all_plainly_done(self) -> bool:
        """Whether every stage is done, or left out, under its wanted fingerprint: so it is with nearly all documents.

        Then every stage is current. The rule, which takes longer, is asked of the others.
        """
        for stage, wanted in self.wanted.items():
            state = self.recorded.get(stage)
            if state is None or state.fingerprint != wanted:
                return False
            if state.status is not _DONE and (state.status is not Status.SKIPPED or UPSTREAM_FAILED in state.facts):
                return False
        return True

    def is_done_at(self, stage: Stage) -> bool:
        """Whether the result that is wanted at a stage was made."""
        return self.status_at(stage) is Status.DONE

    def status_at(self, stage: Stage) -> Status:
        """Where it stands at a stage; what was done under another fingerprint is pending."""
        state = self.recorded.get(stage)
        return state.status if state is not None and state.fingerprint == self.wanted[stage] else Status.PENDING

    @property
    def status(self) -> Status:
        """One word: failed before deferred before pending before done.

        A document whose parsing was skipped is skipped; one with a later stage skipped is done.
        """
        statuses = {state.status for state in self.recorded.values()}
        for bad in (Status.FAILED, Status.DEFERRED):
            if bad in statuses:
                return bad
        if not all(self.is_current(stage) for stage in Stage):
            return Status.PENDING
        return Status.SKIPPED if self.recorded[Stage.PARSE].status is Status.SKIPPED else Status.DONE

    def readiness(self, stage: Stage) -> Readiness:
        """Whether it can be worked on at a stage now."""
        above = UPSTREAM[stage]
        return Readiness.READY if above is None else self._allows_below(above)

    def work(self, stage: Stage, exists: Exists = all_there, ready: Readiness | None = None) -> Why | None:
        """Why a run would work on it at a stage now; None: nothing is to do, or the stage above has yet to come.

        ready: how the stage above will have ended, where that is foreseen.
        """
        ready = ready or self.readiness(stage)
        if ready is Readiness.BLOCKED:
            return None
        state, wanted = self.recorded.get(stage), self.wanted[stage]
        if self._settled(stage, ready):
            made = stage in ARTIFACT_STAGES and self.is_done_at(stage)
            return Why.LOST if made and not exists(stage, wanted) else None
        if ready is Readiness.CLEAR:
            return Why.CLEARED
        if state is not None and state.fingerprint == wanted:
            return {Status.FAILED: Why.RETRY, Status.DEFERRED: Why.PUT_OFF}.get(state.status, Why.UNFINISHED)
        if stage in ARTIFACT_STAGES and exists(stage, wanted):
            return Why.KNOWN
        if self.recorded and self._bytes_changed():
            return Why.BYTES
        if state is not None:
            return Why.SETTINGS
        return Why.UNFINISHED if Stage.PARSE in self.recorded else Why.BYTES if self.recorded else Why.NEW

    def planned(
        self, exists: Exists, *, forced: Collection[Stage] = (), off: Collection[Stage] = ()
    ) -> dict[Stage, Why]:
        """What a run would do at each stage, if what it works on succeeds; a stage without work is absent.

        off: stages that are off for the collection, and only recorded as left out.
        """
        found: dict[Stage, Why] = {}
        # What each stage will leave to those below; None: nobody knows.
        leaves: dict[Stage | None, Readiness | None] = {None: Readiness.READY}
        for stage in Stage:
            ready = leaves[UPSTREAM[stage]]
            why = Why.FOLLOWS if ready is None else self.work(stage, exists, ready)
            if stage in forced and ready is not Readiness.CLEAR:
                why = Why.FORCED
            if why in (Why.RETRY, Why.PUT_OFF, Why.FOLLOWS):
                leaves[stage] = None
            elif ready is Readiness.CLEAR:
                leaves[stage] = Readiness.CLEAR
            else:
                leaves[stage] = Readiness.READY if why else self._allows_below(stage)
            nothing_to_clear = why is Why.CLEARED and stage not in self.recorded
            if why is not None and stage not in off and not nothing_to_clear:
                found[stage] = why
        return found

    def is_stale(self, exists: Exists) -> bool:
        """Whether a run has something to do at some stage, sooner or later."""
        if self.all_plainly_done():
            made = (stage for stage in ARTIFACT_STAGES if self.recorded[stage].status is Status.DONE)
            return not all(exists(stage, self.wanted[stage]) for stage in made)
        return any(self.work(stage, exists) for stage in Stage)

    def has_work(self, now_ms: int) -> bool:
        """Whether a run started now would do something at some stage.

        Not for one that failed for good, failed a moment ago, or waits for a provider or for money before its time.
        """
        return not self.all_plainly_done() and any(
            self.work(stage) and not self._rests(stage, now_ms) for stage in Stage
        )

    def only_embedding_is_stale(self) -> bool:
        """Whether nothing but another embedding model, or its settings, gives a run something to do.

        The chunks are those that are wanted, and were embedded before.
        """
        embedded = self.recorded.get(Stage.EMBED)
        return (
            embedded is not None
            and embedded.status is Status.DONE
            and embedded.fingerprint != self.wanted[Stage.EMBED]
            and all(self.is_current(stage) for stage in Stage if stage is not Stage.EMBED)
        )

    def is_embedded_otherwise(self) -> bool:
        """Whether it was embedded by another model, from other chunks or of other bytes than are wanted now.

        Not where an earlier stage lost the document before there were points.
        """
        embedded = self.recorded.get(Stage.EMBED)
        if embedded is None or embedded.fingerprint == self.wanted[Stage.EMBED]:
            return False
        return embedded.status is not Status.SKIPPED or UPSTREAM_FAILED not in embedded.facts

    def _settled(self, stage: Stage, ready: Readiness) -> bool:
        state = self.recorded.get(stage)
        return state is not None and state.settled(self.wanted[stage], clear=ready is Readiness.CLEAR)

    def _allows_below(self, stage: Stage) -> Readiness:
        """What its state at a stage allows the stages below."""
        state = self.recorded.get(stage)
        if state is None or state.fingerprint != self.wanted[stage]:
            return Readiness.BLOCKED
        if state.status is Status.DONE:
            return Readiness.READY
        if state.status is Status.SKIPPED:
            return Readiness.CLEAR if UPSTREAM_FAILED in state.facts else Readiness.READY
        if state.status in (Status.FAILED, Status.DEFERRED) and stage is Stage.ENRICH:
            return Readiness.READY
        if state.status is Status.FAILED and not state.worth_retrying():
            return Readiness.CLEAR
        return Readiness.BLOCKED

    def _bytes_changed(self) -> bool:
        """Whether its bytes changed after it was parsed, or was refused, for the last time."""
        parsed = self.recorded.get(Stage.PARSE)
        ended = None if parsed is None else parsed.finished_ms
        return self.edited or (ended is not None and ended <= self.changed_ms)

    def _rests(self, stage: Stage, now_ms: int) -> bool:
        state = self.recorded.get(stage)
        if state is None or state.fingerprint != self.wanted[stage]:
            return False
        if state.status is Status.FAILED:
            return now_ms < (state.finished_ms or 0) + RETRY_AFTER_MS
        return state.status is Status.DEFERRED and not _money_is_back(state, now_ms)


def _money_is_back(state: StageState, now_ms: int) -> bool:
    """Whether the month for which no money was left is over. Who waits for a provider waits for the nightly run."""
    until = str(state.facts.get("until") or "")
    if state.facts.get("reason") != BudgetExhausted.reason or not until:
        return False
    return datetime.fromisoformat(until).timestamp() * 1000 <= now_ms
