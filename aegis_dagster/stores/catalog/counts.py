"""The catalog's numbers for metrics: statuses, failures, waiting documents, and outcomes so far."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from aegis_dagster.domain.accounts import PutOff
from aegis_dagster.domain.document_state import DocumentState
from aegis_dagster.domain.fingerprints import Identities
from aegis_dagster.domain.money import Month
from aegis_dagster.domain.queue_age import waiting_since
from aegis_dagster.domain.stages import Stage, Status, points_held
from aegis_dagster.stores.catalog.schema import documents, stage_totals
from aegis_dagster.stores.catalog.states import DocumentStates
from aegis_dagster.stores.database import read

OTHERS = "(others)"

_D = documents.c
_STAGES = tuple(Stage)
_EMBED = _STAGES.index(Stage.EMBED)
_SETTLED = (Status.DONE, Status.SKIPPED)
_POINTS = frozenset({Stage.EMBED})  # its facts hold a document's number of points
_WITH_POINTS = (Status.DONE, Status.DEFERRED, Status.FAILED)


@dataclass(frozen=True, slots=True)
class StageTotal:
    """How many documents ended this way at a stage since the home was created, and the time it took."""

    stage: Stage
    status: Status
    reason: str  # error code, reason of a deferral, else ""
    documents: int
    milliseconds: int


@dataclass(slots=True)
class CatalogNumbers:
    """The results of one pass over the catalog. A stale document counts as pending, as everywhere."""

    statuses: dict[str, Counter[tuple[Stage, Status]]] = field(default_factory=dict)  # by collection
    failed: Counter[tuple[Stage, str]] = field(default_factory=Counter)  # by stage and error code
    deferred: Counter[str] = field(default_factory=Counter)  # documents by reason, at any stage
    waiting_since_ms: dict[str, int] = field(default_factory=dict)  # the earliest of each collection with waiting ones
    refused: Counter[tuple[str, Month]] = field(default_factory=Counter)  # documents, by refusing provider and month
    points: int = 0  # as recorded by documents that ended at embed
    totals: list[StageTotal] = field(default_factory=list)


class CatalogCounts:
    """Counts the catalog."""

    def __init__(self, engine: Engine, identities: Identities, *, most_collections: int) -> None:
        """most_collections: how many, the oldest ones, keep their own name; the rest are counted as OTHERS."""
        self._engine = engine
        self._identities = identities
        self._most = most_collections

    def count(self) -> CatalogNumbers:
        """All numbers; the documents' states are a snapshot of one moment. Raises ServiceError.

        Takes about 30 us of CPU per document, a third of it for fingerprints.
        """
        names = collection_labels(self._engine, self._most)
        counting = _Counting()
        for state in DocumentStates(self._engine, self._identities).every(facts=_POINTS):
            counting.add(names.get(state.document.collection, OTHERS), state)
        with read(self._engine) as connection:
            return counting.numbers(names.values(), _totals(connection))


def collection_labels(engine: Engine, most_collections: int) -> dict[str, str]:
    """The label that `CatalogCounts` uses for each collection with documents. Raises ServiceError."""
    with read(engine) as connection:
        return _names(connection, most_collections)


def _names(connection: Connection, most: int) -> dict[str, str]:
    """The labels. The oldest collections keep their names, so that a new one renames no other."""
    query = sa.select(_D.collection, sa.func.min(_D.first_seen_ms)).where(~_D.deleted).group_by(_D.collection)
    oldest = sorted((first, name) for name, first in connection.execute(query))
    return {name: name if place < most else OTHERS for place, (_, name) in enumerate(oldest)}


class _Counting:
    """Running sums over the documents."""

    def __init__(self) -> None:
        self._statuses: Counter[tuple[str, tuple[Status, ...]]] = Counter()  # by label, and one status per stage
        self._found = CatalogNumbers()

    def add(self, name: str, state: DocumentState) -> None:
        """Count one document."""
        statuses = tuple([state.status_at(stage) for stage in _STAGES])
        self._statuses[name, statuses] += 1
        if statuses[_EMBED] in _WITH_POINTS:
            self._found.points += points_held(state.recorded[Stage.EMBED].facts)
        if any(status not in _SETTLED for status in statuses):
            self._add_open(name, state, dict(zip(_STAGES, statuses, strict=True)))

    def _add_open(self, name: str, state: DocumentState, statuses: dict[Stage, Status]) -> None:
        for stage, status in statuses.items():
            if status is Status.FAILED:
                failure = state.recorded[stage].failure
                self._found.failed[stage, failure.code if failure else ""] += 1
        put_off = [
            PutOff.of(state.recorded[stage].facts) for stage, status in statuses.items() if status is Status.DEFERRED
        ]
        self._found.deferred.update({one.reason for one in put_off})
        if refused := [one.refused_by for one in put_off if one.refused_by is not None]:
            self._found.refused[refused[0]] += 1  # only the first: a document counts once
        since = waiting_since(state)
        if since is not None:
            before = self._found.waiting_since_ms.get(name, since)
            self._found.waiting_since_ms[name] = min(since, before)

    def numbers(self, names: Iterable[str], totals: list[StageTotal]) -> CatalogNumbers:
        """The sums. names: labels that get a counter even if it is empty."""
        self._found.totals = totals
        self._found.statuses = {name: Counter() for name in names}
        for (name, statuses), count in self._statuses.items():
            counted = self._found.statuses.setdefault(name, Counter())
            for place in zip(_STAGES, statuses, strict=True):
                counted[place] += count
        return self._found


def _totals(connection: Connection) -> list[StageTotal]:
    return [
        StageTotal(Stage(row.stage), Status(row.status), row.reason, row.documents, row.milliseconds)
        for row in connection.execute(sa.select(stage_totals))
    ]
