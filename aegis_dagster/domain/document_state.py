"""A document with its states: what is up to date, what can be processed, and what needs work, with the reason."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from aegis_dagster.domain.limits import NO_LIMITS, DocumentLimits
from aegis_dagster.domain.stages import (
    ARTIFACT_STAGES,
    CUT_AT,
    UNREAD,
    UPSTREAM,
    UPSTREAM_FAILED,
    Document,
    Stage,
    StageState,
    Status,
)
from aegis_dagster.errors import BudgetExhausted, OverLimit

_DONE = Status.DONE
RETRY_AFTER_MS = 10 * 60_000  # wait before a document with a temporary failure is tried again

Exists = Callable[[Stage, str], bool]  # whether an artifact exists: `FolderArtifacts.exists` or `listed`


class Readiness(StrEnum):
    """What the state of the stage above allows."""

    READY = "ready"
    BLOCKED = "blocked"  # the stage above has not run yet, or may still succeed: change nothing
    CLEAR = "clear"  # the stage above failed permanently: remove what was published


class Why(StrEnum):
    """A reason to work on a document, worded for operators."""

    NEW = "new"
    BYTES = "bytes changed"
    SETTINGS = "settings, model or code changed"
    RETRY = "earlier failure, tried again"
    RAISED = "the limit that it went over was raised"
    PUT_OFF = "was put off, tried again"
    UNFINISHED = "not finished yet"
    LOST = "its result is gone from the store"
    MORE_ROOM = "answers were cut, and may be longer now"
    KNOWN = "equal content is done already: only recorded"
    FORCED = "forced"
    FOLLOWS = "depends on how an earlier stage ends"
    CLEARED = "an earlier stage failed: what was published of it goes"


def all_there(_stage: Stage, _fingerprint: str) -> bool:
    """An `Exists` without a look at the store: every artifact counts as existing."""
    return True


@dataclass(frozen=True, slots=True)
class DocumentState:
    """A document, its recorded states, and the fingerprints it should have now at each stage."""

    document: Document
    recorded: Mapping[Stage, StageState]  # only the stages it has reached
    wanted: Mapping[Stage, str]
    changed_ms: int = 0  # when the catalog recorded its revision
    edited: bool = False  # the catalog knows only another revision so far
    limits: DocumentLimits = NO_LIMITS  # of one document, as the settings have them now
    answer_tokens: Mapping[Stage, int] = field(default_factory=dict)  # the most of a model's answer, now

    def is_current(self, stage: Stage) -> bool:
        """Whether it needs no work at a stage, according to its recorded state."""
        return self._settled(stage, self.readiness(stage))

    def all_plainly_done(self) -> bool:
        """Whether every stage is done or skipped under its wanted fingerprint, as for nearly all documents.

        Then every stage is current, and the slower general rule need not be evaluated.
        """
        for stage, wanted in self.wanted.items():
            state = self.recorded.get(stage)
            if state is None or state.fingerprint != wanted:
                return False
            if state.status is not _DONE and (state.status is not Status.SKIPPED or UPSTREAM_FAILED in state.facts):
                return False
        return not self.answer_tokens or not any(self.has_more_room(stage) for stage in self.answer_tokens)

    def has_more_room(self, stage: Stage) -> bool:
        """Whether answers of a model were cut at a stage that may be longer now."""
        state = self.recorded.get(stage)
        return state is not None and state.has_more_room(self.answer_tokens.get(stage, 0))

    def was_reset_unread(self, stage: Stage) -> bool:
        """Whether an operator reset a stage at which nothing could be read, so that models are asked again."""
        state = self.recorded.get(stage)
        if state is None or state.status is not Status.PENDING or UNREAD not in state.facts:
            return False
        return state.facts.keys() <= {UNREAD, CUT_AT}  # a stage that ended well has more to tell

    def is_done_at(self, stage: Stage) -> bool:
        """Whether the wanted result of a stage was made."""
        return self.status_at(stage) is Status.DONE

    def status_at(self, stage: Stage) -> Status:
        """Its status at a stage; a result with another fingerprint counts as pending."""
        state = self.recorded.get(stage)
        return state.status if state is not None and state.fingerprint == self.wanted[stage] else Status.PENDING

    @property
    def status(self) -> Status:
        """Its overall status: failed before deferred before pending before done.

        A document whose parsing was skipped is skipped; one with a later stage skipped is done.
        """
        if self.all_plainly_done():
            return Status.SKIPPED if self.recorded[Stage.PARSE].status is Status.SKIPPED else _DONE
        statuses = {state.status for state in self.recorded.values()}
        for bad in (Status.FAILED, Status.DEFERRED):
            if bad in statuses:
                return bad
        if not all(self.is_current(stage) for stage in Stage):
            return Status.PENDING
        return Status.SKIPPED if self.recorded[Stage.PARSE].status is Status.SKIPPED else Status.DONE

    def readiness(self, stage: Stage) -> Readiness:
        """Whether it can be processed at a stage now."""
        above = UPSTREAM[stage]
        return Readiness.READY if above is None else self._allows_below(above)

    def work(self, stage: Stage, exists: Exists = all_there, ready: Readiness | None = None) -> Why | None:
        """Why a run would work on it at a stage now; None: no work, or the stage above has not run yet.

        ready: the expected readiness after the stage above, if known.
        """
        ready = ready or self.readiness(stage)
        if ready is Readiness.BLOCKED:
            return None
        state, wanted = self.recorded.get(stage), self.wanted[stage]
        if ready is Readiness.READY and self.has_more_room(stage) and state is not None and state.fingerprint == wanted:
            return Why.MORE_ROOM
        if self._settled(stage, ready):
            made = stage in ARTIFACT_STAGES and self.is_done_at(stage)
            return Why.LOST if made and not exists(stage, wanted) else None
        if ready is Readiness.CLEAR:
            return Why.CLEARED
        if self.fits_now(stage):
            return Why.RAISED
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
        """Why a run would work on each stage, assuming that the stages succeed; a stage without work is absent.

        off: stages that are off for the collection, and only recorded as skipped.
        """
        found: dict[Stage, Why] = {}
        # The readiness that each stage will leave to those below; None: unknown.
        leaves: dict[Stage | None, Readiness | None] = {None: Readiness.READY}
        for stage in Stage:
            ready = leaves[UPSTREAM[stage]]
            why = Why.FOLLOWS if ready is None else self.work(stage, exists, ready)
            if stage in forced and ready is not Readiness.CLEAR:
                why = Why.FORCED
            if why in (Why.RETRY, Why.RAISED, Why.PUT_OFF, Why.FOLLOWS):
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
        """Whether it has work at some stage, now or later."""
        if self.all_plainly_done():
            for stage in ARTIFACT_STAGES:  # no generator: this runs for a hundred thousand documents
                if self.recorded[stage].status is _DONE and not exists(stage, self.wanted[stage]):
                    return True
            return False
        return any(self.work(stage, exists) for stage in Stage)

    def has_work(self, now_ms: int) -> bool:
        """Whether a run started now would do something at some stage.

        False if it failed permanently or recently, or still has to wait for a provider or a budget.
        """
        return not self.all_plainly_done() and any(
            self.work(stage) and not self._rests(stage, now_ms) for stage in Stage
        )

    def only_embedding_is_stale(self) -> bool:
        """Whether its only work comes from another embedding model or its settings.

        Its chunks are up to date, and were embedded before.
        """
        embedded = self.recorded.get(Stage.EMBED)
        return (
            embedded is not None
            and embedded.status is Status.DONE
            and embedded.fingerprint != self.wanted[Stage.EMBED]
            and all(self.is_current(stage) for stage in Stage if stage is not Stage.EMBED)
        )

    def is_embedded_otherwise(self) -> bool:
        """Whether it was embedded by another model, from other chunks or from other bytes than are wanted now.

        False if an earlier stage failed before the document had points.
        """
        embedded = self.recorded.get(Stage.EMBED)
        if embedded is None or embedded.fingerprint == self.wanted[Stage.EMBED]:
            return False
        return embedded.status is not Status.SKIPPED or UPSTREAM_FAILED not in embedded.facts

    def was_refused(self, stage: Stage) -> bool:
        """Whether its wanted result was not begun at a stage because of a limit of one document."""
        return self.status_at(stage) is Status.FAILED and OverLimit.FACT in self.recorded[stage].facts

    def fits_now(self, stage: Stage) -> bool:
        """Whether it was refused at a stage for a limit, and the settings allow enough now."""
        return self.was_refused(stage) and self.limits.allows(self.recorded[stage].facts)

    def _settled(self, stage: Stage, ready: Readiness) -> bool:
        state = self.recorded.get(stage)
        if state is None or (ready is Readiness.READY and self.has_more_room(stage)):
            return False
        return state.settled(self.wanted[stage], clear=ready is Readiness.CLEAR) and not self.fits_now(stage)

    def _allows_below(self, stage: Stage) -> Readiness:
        """The readiness that its state at a stage gives to the stages below."""
        state = self.recorded.get(stage)
        if state is None or state.fingerprint != self.wanted[stage]:
            return Readiness.BLOCKED
        if state.status is Status.DONE:
            return Readiness.READY
        if state.status is Status.SKIPPED:
            return Readiness.CLEAR if UPSTREAM_FAILED in state.facts else Readiness.READY
        if state.status in (Status.FAILED, Status.DEFERRED) and stage is Stage.ENRICH:
            return Readiness.READY
        if state.status is Status.FAILED and not state.worth_retrying() and not self.fits_now(stage):
            return Readiness.CLEAR
        return Readiness.BLOCKED

    def _bytes_changed(self) -> bool:
        """Whether its bytes changed after it was last parsed or refused."""
        parsed = self.recorded.get(Stage.PARSE)
        ended = None if parsed is None else parsed.finished_ms
        return self.edited or (ended is not None and ended <= self.changed_ms)

    def _rests(self, stage: Stage, now_ms: int) -> bool:
        state = self.recorded.get(stage)
        if state is None or state.fingerprint != self.wanted[stage]:
            return False
        if state.status is Status.FAILED:
            return not self.fits_now(stage) and now_ms < (state.finished_ms or 0) + RETRY_AFTER_MS
        return state.status is Status.DEFERRED and not _money_is_back(state, now_ms)


def _money_is_back(state: StageState, now_ms: int) -> bool:
    """Whether the month of the exhausted budget is over. One that waits for a provider waits for the nightly run."""
    until = str(state.facts.get("until") or "")
    if state.facts.get("reason") != BudgetExhausted.reason or not until:
        return False
    return datetime.fromisoformat(until).timestamp() * 1000 <= now_ms
