"""The decisions of the watched folder's sensor: which collections have work, and which runs to request.

Times are milliseconds since 1970-01-01 UTC.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from aegis_dagster.domain.fingerprints import Identities, digest_of
from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.domain.stages import Stage

MOST_REQUESTS = 10  # per tick: Dagster launches them one after another while the next tick waits
_REST_MS = 5 * 60_000  # after a run that left its documents unfinished; doubles with each further run
_LONGEST_REST_MS = 6 * 3_600_000
_NAMED = 5  # documents that a run's tag names


@dataclass(frozen=True, slots=True)
class Waiting:
    """A document with work for a run: stages to process, or data to remove after its deletion."""

    id: DocumentId
    changed_ms: int  # when its revision was recorded; differs even if a file was edited back
    revision: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Finished runs that were requested for exactly these documents."""

    runs: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Request:
    """A run to request."""

    collection: CollectionName | None  # None: the run that removes the data of deleted documents
    digest: str
    run_key: str  # Dagster starts at most one run for each key
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests of one tick, and the collections without one."""

    requests: tuple[Request, ...]
    at_work: tuple[str, ...]  # a run for them is queued or in progress
    resting: tuple[str, ...]  # runs for exactly these documents ended and left them unfinished
    later: tuple[str, ...]  # beyond the requests of one tick


def digest_of_work(
    collection: CollectionName | None, documents: Iterable[Waiting], identities: Identities | None
) -> str:
    """A hash of a run's work: documents, their revisions, and what the stages depend on."""
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
    """One run for each collection with work that no active run covers, at most ten per tick.

    active_ms: when the newest queued or running run of a collection was created; it may miss later changes.
    ended: by digest.
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
            # Not the count alone: it repeats once an older run has been deleted.
            run_key = f"{digest}-{before.runs}-{before.last_ms}"
            requests.append(Request(collection, digest, run_key, _why(documents)))
    return Plan(tuple(requests), tuple(at_work), tuple(resting), tuple(later))


def rest_ms(runs: int) -> int:
    """How long to wait after this many runs left documents unfinished, in ms: 5 minutes, 10, 20, at most 6 hours."""
    return min(_REST_MS << min(runs - 1, 20), _LONGEST_REST_MS)


def _why(documents: Sequence[Waiting]) -> str:
    named = ", ".join(document.id for document in documents[:_NAMED])
    more = f" and {len(documents) - _NAMED} more" if len(documents) > _NAMED else ""
    return f"{named}{more}" or "the vector store is gone"


_NAMED_COLLECTIONS = 10  # collections named per line


@dataclass(frozen=True, slots=True)
class Turn:
    """The collections with work."""

    requested: tuple[CollectionName, ...]
    at_work: tuple[CollectionName, ...]  # a run for them is queued or in progress
    later: tuple[CollectionName, ...]  # beyond the runs of one tick

    def told(self) -> str:
        """Which collections get no run, and why; "" if all get one."""
        parts = []
        for what, names in (("A run is at work on", self.at_work), ("Requested by the next tick", self.later)):
            if names:
                parts.append(f"{what}: {', '.join(names[:_NAMED_COLLECTIONS])}{_more(names)}.")
        return " ".join(parts)


def turn_of(
    documents: Mapping[CollectionName, int],
    *,
    at_work: Collection[CollectionName],
    last_ms: Mapping[CollectionName, int],
    most: int,
) -> Turn:
    """The collections that get a run in this tick, given how many documents of each have work.

    Collections whose last run is longest ago come first, so that none waits forever behind those with endless work;
    among equals, the most documents. last_ms: when the last run of a collection was requested; may be incomplete.
    """
    free = sorted(
        (name for name in documents if name not in at_work),
        key=lambda name: (last_ms.get(name, 0), -documents[name], name),
    )
    busy = tuple(sorted(name for name in documents if name in at_work))
    return Turn(tuple(free[:most]), busy, tuple(free[most:]))


def _more(names: Collection[CollectionName]) -> str:
    return f" and {len(names) - _NAMED_COLLECTIONS} more" if len(names) > _NAMED_COLLECTIONS else ""
