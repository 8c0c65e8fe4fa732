"""The catalog in numbers, for metrics: where documents stand, what failed, what waits, what ended."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from aegis_dagster.domain.accounts import PutOff
from aegis_dagster.domain.fingerprints import Identities, wanted_fingerprints
from aegis_dagster.domain.identifiers import CollectionName, DocumentId, Revision
from aegis_dagster.domain.money import Month
from aegis_dagster.domain.queue_age import Mark, waiting_since
from aegis_dagster.domain.stages import Document, Stage, StageState, Status, points_held
from aegis_dagster.stores.catalog.claims import STATUSES
from aegis_dagster.stores.catalog.schema import documents, stage_totals
from aegis_dagster.stores.catalog.states import with_states
from aegis_dagster.stores.database import read

OTHERS = "(others)"

_ROWS_AT_ONCE = 1000
_D = documents.c
_STAGES = tuple(Stage)
_PENDING, _DONE, _FAILED, _DEFERRED = (
    status.value for status in (Status.PENDING, Status.DONE, Status.FAILED, Status.DEFERRED)
)
_SETTLED = (_DONE, Status.SKIPPED.value)
_WITH_FACTS = (_DONE, _DEFERRED, _FAILED)
_COLUMNS = ("status", "fingerprint", "error_code", "started_ms", "finished_ms")  # of each stage, and its facts
_STATUS, _FINGERPRINT, _ERROR_CODE, _STARTED, _FINISHED, _FACTS = range(6)
_OWN = (_D.id, _D.collection, _D.revision, _D.suffix, _D.changed_ms)

# A document's columns, and those of its states one stage after another; None where there is no state.
_Values = Row[Any]


def _columns(stage: Stage, state: sa.FromClause) -> list[sa.ColumnElement[Any]]:
    # Facts only where they are needed: how many points a document has, and why one waits.
    wanted = [_DEFERRED, _DONE, _FAILED] if stage is Stage.EMBED else [_DEFERRED]
    return [*(state.c[name] for name in _COLUMNS), sa.case((state.c.status.in_(wanted), state.c.facts))]


_WITH_STATES = with_states(_OWN, _columns).where(~_D.deleted)


@dataclass(frozen=True, slots=True)
class StageTotal:
    """How many documents ended so at a stage since the home was made, and the time it took."""

    stage: Stage
    status: Status
    reason: str  # error code, why it was put off, else ""
    documents: int
    milliseconds: int


@dataclass(slots=True)
class CatalogNumbers:
    """What one pass over the catalog finds. A stale document is pending, as everywhere."""

    statuses: dict[str, Counter[tuple[Stage, Status]]] = field(default_factory=dict)  # by collection
    failed: Counter[tuple[Stage, str]] = field(default_factory=Counter)  # by stage and error code
    deferred: Counter[str] = field(default_factory=Counter)  # documents by reason, at whichever stage
    waiting_since_ms: dict[str, int] = field(default_factory=dict)  # the oldest of each collection that has any
    refused: Counter[tuple[str, Month]] = field(default_factory=Counter)  # documents by provider and month of a budget
    points: int = 0  # that documents which ended at embed say they have
    totals: list[StageTotal] = field(default_factory=list)


class CatalogCounts:
    """Counts the catalog."""

    def __init__(self, engine: Engine, identities: Identities, *, most_collections: int) -> None:
        """most_collections: so many have a name of their own, the oldest ones; the rest is counted as OTHERS."""
        self._engine = engine
        self._identities = identities
        self._most = most_collections

    def count(self) -> CatalogNumbers:
        """All numbers, as they were at one moment. Raises ServiceError.

        Takes some 60 us of CPU a document, most of it for fingerprints.
        """
        with read(self._engine) as connection:
            counting = _Counting(self._identities, _names(connection, self._most))
            # The rows of 100,000 documents are never in memory together.
            for row in connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(_WITH_STATES):
                counting.add(row)
            return counting.numbers(_totals(connection))


def collection_labels(engine: Engine, most_collections: int) -> dict[str, str]:
    """The label of each collection that has documents, as `CatalogCounts` gives it. Raises ServiceError."""
    with read(engine) as connection:
        return _names(connection, most_collections)


def _names(connection: Connection, most: int) -> dict[str, str]:
    """The oldest keep their names, so that a new one renames no other."""
    query = sa.select(_D.collection, sa.func.min(_D.first_seen_ms)).where(~_D.deleted).group_by(_D.collection)
    oldest = sorted((first, name) for name, first in connection.execute(query))
    return {name: name if place < most else OTHERS for place, (_, name) in enumerate(oldest)}


class _Counting:
    """The sums while documents go by."""

    def __init__(self, identities: Identities, names: dict[str, str]) -> None:
        self._identities = identities
        self._names = names
        # Statuses are plain strings here: to hash a member of an enumeration takes longer than all else.
        self._statuses: dict[str, Counter[tuple[int, str]]] = {name: Counter() for name in names.values()}
        self._found = CatalogNumbers()

    def add(self, row: _Values) -> None:
        """Count one document."""
        name = self._names[row[1]]
        document = Document(DocumentId(row[0]), CollectionName(row[1]), Revision(row[2]), 0, row[3])
        wanted = tuple(wanted_fingerprints(document, self._identities, _enrichment(row)).values())
        statuses, settled = self._statuses[name], True
        reasons: set[str] = set()
        refused: tuple[str, Month] | None = None  # the first of them: a document counts once
        for place, fingerprint in enumerate(wanted):
            at = len(_OWN) + place * 6
            status = row[at + _STATUS] if row[at + _FINGERPRINT] == fingerprint else _PENDING
            statuses[place, status] += 1
            settled = settled and status in _SETTLED
            if status == _FAILED:
                self._found.failed[_STAGES[place], row[at + _ERROR_CODE] or ""] += 1
            if status not in _WITH_FACTS or row[at + _FACTS] is None:
                continue
            facts = json.loads(row[at + _FACTS])
            self._found.points += points_held(facts)  # no other stage has any
            if status == _DEFERRED:
                reasons.add(facts.get("reason", ""))
                refused = refused or PutOff.of(facts).refused_by
        self._found.deferred.update(reasons)
        if refused is not None:
            self._found.refused[refused] += 1
        if not settled:
            since = waiting_since(row[4], _marks(row, wanted))
            if since is not None:
                before = self._found.waiting_since_ms.get(name, since)
                self._found.waiting_since_ms[name] = min(since, before)

    def numbers(self, totals: list[StageTotal]) -> CatalogNumbers:
        """The sums, in their words."""
        self._found.totals = totals
        self._found.statuses = {
            name: Counter({(_STAGES[place], STATUSES[status]): count for (place, status), count in counted.items()})
            for name, counted in self._statuses.items()
        }
        return self._found


def _enrichment(row: _Values) -> dict[Stage, StageState]:
    """The one state that fingerprints depend on."""
    at = len(_OWN) + _STAGES.index(Stage.ENRICH) * 6
    status = row[at + _STATUS]
    return {} if status is None else {Stage.ENRICH: StageState(STATUSES[status], row[at + _FINGERPRINT])}


def _marks(row: _Values, wanted: tuple[str, ...]) -> dict[Stage, Mark]:
    found = {}
    for place, stage in enumerate(_STAGES):
        at = len(_OWN) + place * 6
        if row[at + _STATUS] is not None:
            current = row[at + _FINGERPRINT] == wanted[place]
            found[stage] = Mark(STATUSES[row[at + _STATUS]], current, row[at + _STARTED], row[at + _FINISHED])
    return found


def _totals(connection: Connection) -> list[StageTotal]:
    return [
        StageTotal(Stage(row.stage), Status(row.status), row.reason, row.documents, row.milliseconds)
        for row in connection.execute(sa.select(stage_totals))
    ]
