"""What the watched folder's sensor decides: who has work now, and which runs are requested for it.

Belongs here: pure rules over documents, states and runs. Times are milliseconds since 1970-01-01 UTC.
Does not belong here: listing, asking the catalog or Dagster (`defs/watching.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aegis_dagster.domain.fingerprints import Identities, digest_of
from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.domain.stages import Readiness, Stage, StageState, Status, readiness, up_to_date
from aegis_dagster.errors import BudgetExhausted

MOST_REQUESTS = 10  # of one tick: Dagster launches them one after the other while the next tick waits
RETRY_AFTER_MS = 10 * 60_000  # a document that failed for a passing reason is tried again so much later
_REST_MS = 5 * 60_000  # after a run that left its documents undone; doubles with every further one
_LONGEST_REST_MS = 6 * 3_600_000
_NAMED = 5  # documents that a run's tag names


@dataclass(frozen=True, slots=True)
class Waiting:
    """A document that a run would do something for: work left, or traces to remove."""

    id: DocumentId
    changed_ms: int  # when its revision was recorded: also a file that was edited back has another one
    revision: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Runs that were requested for just these documents and are over."""

    runs: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Request:
    """A run to request."""

    collection: CollectionName | None  # None: one that removes the traces of deleted documents
    digest: str
    run_key: str  # Dagster starts one run for it, ever
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What one tick requests, and what it does not."""

    requests: tuple[Request, ...]
    at_work: tuple[str, ...]  # a run for them is queued or in progress
    resting: tuple[str, ...]  # runs for just these documents ended and left them undone
    later: tuple[str, ...]  # beyond the requests of one tick


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


def digest_of_work(
    collection: CollectionName | None, documents: Iterable[Waiting], identities: Identities | None
) -> str:
    """A hash of all that a run would be about: documents, their revisions, and what the stages depend on."""
    depends = [] if collection is None or identities is None else [identities.of(stage, collection) for stage in Stage]
    marks = sorted(f"{document.id}\n{document.revision}\n{document.changed_ms}" for document in documents)
    return digest_of(collection or "", *depends, *marks)[:32]


def plan_requests(
    work: Mapping[CollectionName | None, Sequence[Waiting]],
    digests: Mapping[CollectionName | None, str],
    *,
    active_ms: Mapping[CollectionName | None, int],
    ended: Mapping[str, Ended],
    now_ms: int,
) -> Plan:
    """One run for each collection with work that no run is about already, at most ten at once.

    active_ms: when the newest run of a collection that is queued or in progress was created; what changed after that
    it may have missed. ended: by digest.
    """
    requests: list[Request] = []
    at_work: list[str] = []
    resting: list[str] = []
    later: list[str] = []
    for collection in sorted(work, key=lambda name: name or ""):
        documents, digest, shown = work[collection], digests[collection], collection or "(deleted documents)"
        created = active_ms.get(collection)
        if created is not None and all(document.changed_ms <= created for document in documents):
            at_work.append(shown)
            continue
        before = ended.get(digest, Ended(0, 0))
        if before.runs and now_ms < before.last_ms + rest_ms(before.runs):
            resting.append(shown)
        elif len(requests) == MOST_REQUESTS:
            later.append(shown)
        else:
            # Not the count alone: it is the same again once somebody has deleted an older run.
            run_key = f"{digest}-{before.runs}-{before.last_ms}"
            requests.append(Request(collection, digest, run_key, _why(documents)))
    return Plan(tuple(requests), tuple(at_work), tuple(resting), tuple(later))


def rest_ms(runs: int) -> int:
    """How long documents rest after so many runs left them undone: 5 minutes, 10, 20, at most 6 hours."""
    return min(_REST_MS << min(runs - 1, 20), _LONGEST_REST_MS)


def _why(documents: Sequence[Waiting]) -> str:
    named = ", ".join(document.id for document in documents[:_NAMED])
    more = f" and {len(documents) - _NAMED} more" if len(documents) > _NAMED else ""
    return f"{named}{more}" or "the vector store is gone"
