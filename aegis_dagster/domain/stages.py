"""The stages, their dependencies, and the states of a document at each."""

import logging
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from aegis_dagster.domain.identifiers import NO_MAIL, CollectionName, DocumentId, Revision
from aegis_dagster.errors import AegisError, BudgetExhausted, Deferred, DocumentError, FailureCode, OverLimit

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3  # automatic attempts after a retryable failure; then `aegis retry` starts over


_POINTS_BEFORE = "points_before"  # key in the facts of a document that kept its earlier points
UPSTREAM_FAILED = "upstream_failed"  # key in the facts of a stage whose earlier stage failed
UNREAD_WHY = "unread_why"  # key in the facts of a stage: what was said about it, a sentence by error code
UNREAD = "unread"  # key in the facts of a stage: what no model read to its end, a number by error code
LEFT_OUT = "left_out"  # key in the facts of parse: texts that are left out on purpose, a number by reason
CUT_AT = "cut_at"  # key in the facts of a stage: the most tokens an answer was allowed when some were cut


class Stage(StrEnum):
    """The five stages, in the order in which they run."""

    PARSE = "parse"
    ENRICH = "enrich"
    CHUNK = "chunk"
    EMBED = "embed"
    GRAPH = "graph"


ARTIFACT_STAGES = (Stage.PARSE, Stage.ENRICH, Stage.CHUNK)  # their results are folders of the artifact store

UPSTREAM: Mapping[Stage, Stage | None] = {
    Stage.PARSE: None,
    Stage.ENRICH: Stage.PARSE,
    Stage.CHUNK: Stage.ENRICH,
    Stage.EMBED: Stage.CHUNK,
    Stage.GRAPH: Stage.CHUNK,
}


def from_stage_on(stage: Stage) -> frozenset[Stage]:
    """A stage and all that depend on its result. Embed and graph do not depend on each other."""
    found = {stage}
    for later in Stage:
        if UPSTREAM[later] in found:
            found.add(later)
    return frozenset(found)


class Status(StrEnum):
    """The status of a document at a stage."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    DEFERRED = "deferred"


@dataclass(frozen=True, slots=True)
class Document:
    """One document in the catalog: a file, or what is attached to a mail."""

    id: DocumentId
    collection: CollectionName
    revision: Revision
    size_bytes: int
    suffix: str  # lower case, with the dot; "" if the name has none
    mail: DocumentId = NO_MAIL  # the outermost mail that it is attached to
    context: str = ""  # subjects of the mails it comes with, outermost first, one a line


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a document failed at a stage, and the remedy."""

    code: FailureCode
    message: str
    remedy: str
    retryable: bool

    @property
    def passing(self) -> bool:
        """Whether it says nothing against what was published of the document before."""
        return self.retryable or self.code in (FailureCode.OVER_LIMIT, FailureCode.EXTRACTION_FAILED)

    @staticmethod
    def of(error: Exception) -> "Failure":
        """The failure for an exception, in our own words.

        What a library said of it goes to the log only, as a literal in which nothing acts: it may quote the document.
        """
        said = error.__cause__ if isinstance(error, AegisError) else error
        if said is not None:
            logger.warning("%s: %r", type(error).__name__, "".join(traceback.format_exception(said)))
        if isinstance(error, DocumentError):
            return Failure(error.code, error.message, error.remedy, error.retryable)
        if isinstance(error, AegisError):
            return Failure(FailureCode.INTERNAL_ERROR, error.message, error.remedy, error.retryable)
        return Failure(
            FailureCode.INTERNAL_ERROR,
            f"The stage stopped with {type(error).__name__}, which nobody expected.",
            "this is a defect of aegis_dagster: report it with what the log says; `aegis retry` tries again.",
            False,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one document ended at one stage."""

    status: Status
    facts: dict[str, Any] = field(default_factory=dict)  # JSON values: counts, coverage, route, why skipped
    failure: Failure | None = None
    seconds: float = 0.0


def failed(error: Exception) -> Outcome:
    """The outcome of a document that cannot be processed."""
    facts = {OverLimit.FACT: error.needs} if isinstance(error, OverLimit) else {}
    return Outcome(Status.FAILED, facts, Failure.of(error))


def put_off(error: Deferred) -> Outcome:
    """The outcome of a document that waits for a budget or a provider. Every run tries it again."""
    facts: dict[str, Any] = {"why": error.message, "reason": error.reason}
    facts |= {"until": error.until, "remedy": error.remedy}
    if isinstance(error, BudgetExhausted) and error.shortage is not None:
        facts["budget"] = asdict(error.shortage)
    return Outcome(Status.DEFERRED, facts)


def unread_facts(codes: Mapping[str, int], most_tokens: int) -> dict[str, Any]:
    """The facts about what no model read to its end. codes: how many, by error code. most_tokens: of an answer."""
    counts = {str(code): count for code, count in sorted(codes.items()) if count}
    facts: dict[str, Any] = {UNREAD: counts} if counts else {}
    return facts | ({CUT_AT: most_tokens} if FailureCode.CUT in counts else {})


def keeping_points(outcome: Outcome, before: "StageState | None") -> Outcome:
    """The outcome of a document whose points were not replaced, with the number of points it kept."""
    points = points_held(before.facts) if before is not None else 0
    return replace(outcome, facts=outcome.facts | {_POINTS_BEFORE: points}) if points else outcome


def points_held(facts: Mapping[str, Any]) -> int:
    """The number of a document's points in the vector store, from its facts at embed."""
    return int(facts.get("points", facts.get(_POINTS_BEFORE, 0)))


class StageState(NamedTuple):
    """What the catalog holds of one document at one stage. Times are milliseconds since 1970-01-01 UTC.

    A tuple, because half a million are made when a hundred thousand documents are read: a frozen dataclass takes three
    times as long.
    """

    status: Status
    fingerprint: str
    attempts: int = 0
    failure: Failure | None = None
    facts: Mapping[str, Any] = MappingProxyType({})
    started_ms: int | None = None
    finished_ms: int | None = None  # None while it runs

    def settled(self, wanted: str, *, clear: bool) -> bool:
        """Whether the wanted fingerprint needs no work unless forced.

        clear: the stage above failed for good. A stage that was skipped because of that has work again as
        soon as the stage above succeeds, under the same fingerprint.
        """
        if self.fingerprint != wanted:
            return False
        if self.status is Status.SKIPPED:
            return clear or UPSTREAM_FAILED not in self.facts
        if self.status is Status.DONE:
            return not clear
        return self.status is Status.FAILED and not self.worth_retrying()

    def has_more_room(self, most_tokens: int) -> bool:
        """Whether answers were cut that may be longer now. most_tokens: of an answer now."""
        return CUT_AT in self.facts and most_tokens > int(self.facts[CUT_AT])

    def worth_retrying(self) -> bool:
        """Whether a failure may be temporary and has attempts left."""
        return self.failure is not None and self.failure.retryable and self.attempts < MAX_ATTEMPTS
