"""The catalog in numbers, for metrics: where documents stand, what failed, what waits, what ended.

Belongs here: one pass over documents and their states, in little memory, that says the same as `aegis status`.
Does not belong here: summaries for people (`catalog_reports.py`), the metrics themselves (`monitoring/catalog.py`).
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from aegis_dagster.domain.fingerprints import Identities, wanted_fingerprints
from aegis_dagster.domain.identifiers import CollectionName, DocumentId, Revision
from aegis_dagster.domain.stages import Document, Stage, StageState, Status
from aegis_dagster.domain.waiting import Mark, waiting_since
from aegis_dagster.stores.catalog_schema import documents, stage_states, stage_totals
from aegis_dagster.stores.database import read

OTHERS = "(others)"
_ROWS_AT_ONCE = 5000
_SETTLED = (Status.DONE, Status.SKIPPED)
_D, _S = documents.c, stage_states.c

# Facts are read where they are needed: how many points a document has, and why one waits.
_FACTS = sa.case(
    ((_S.stage == Stage.EMBED.value) & (_S.status == Status.DONE.value), _S.facts),
    (_S.status == Status.DEFERRED.value, _S.facts),
)
_STATES = (
    sa.select(
        *(_D.id, _D.collection, _D.revision, _D.suffix, _D.changed_ms),
        *(_S.stage, _S.status, _S.fingerprint, _S.error_code, _S.started_ms, _S.finished_ms, _FACTS),
    )
    .select_from(documents.outerjoin(stage_states, _S.document_id == _D.id))
    .where(~_D.deleted)
    .order_by(_D.id)
)


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
    points: int = 0  # that documents done at embed say they have
    totals: list[StageTotal] = field(default_factory=list)


class CatalogCounts:
    """Counts the catalog."""

    def __init__(self, engine: Engine, identities: Identities, *, most_collections: int) -> None:
        """most_collections: so many have a name of their own, the oldest ones; the rest is counted as OTHERS."""
        self._engine = engine
        self._identities = identities
        self._most = most_collections

    def count(self) -> CatalogNumbers:
        """All numbers, as they were at one moment. Raises ServiceError."""
        with read(self._engine) as connection:
            found = CatalogNumbers(totals=_totals(connection))
            names = self._names(connection)
            found.statuses = {name: Counter() for name in names.values()}
            # The rows of 100,000 documents are never in memory together.
            rows = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(_STATES)
            for _, of_document in groupby(map(tuple, rows), key=itemgetter(0)):
                self._add(found, names, list(of_document))
        return found

    def _names(self, connection: Connection) -> dict[str, str]:
        """The label of each collection: the oldest keep their names, so that a new one renames no other."""
        query = sa.select(_D.collection, sa.func.min(_D.first_seen_ms)).where(~_D.deleted).group_by(_D.collection)
        oldest = sorted((first, name) for name, first in connection.execute(query))
        return {name: name if place < self._most else OTHERS for place, (_, name) in enumerate(oldest)}

    def _add(self, found: CatalogNumbers, names: dict[str, str], rows: list[tuple[Any, ...]]) -> None:
        document_id, collection, revision, suffix, changed_ms, *_ = rows[0]
        document = Document(DocumentId(document_id), CollectionName(collection), Revision(revision), 0, suffix)
        states = {Stage(row[5]): row for row in rows if row[5] is not None}
        wanted = wanted_fingerprints(document, self._identities, _enrichment(states))
        name = names[collection]
        statuses, settled, reasons = found.statuses[name], True, set()
        for stage in Stage:
            row = states.get(stage)
            status = Status.PENDING if row is None or row[7] != wanted[stage] else Status(row[6])
            statuses[stage, status] += 1
            settled = settled and status in _SETTLED
            if row is None:
                continue
            if status is Status.FAILED:
                found.failed[stage, row[8] or ""] += 1
            elif status is Status.DEFERRED:
                reasons.add(json.loads(row[11]).get("reason", ""))
            elif status is Status.DONE and stage is Stage.EMBED:
                found.points += int(json.loads(row[11]).get("points", 0))
        found.deferred.update(reasons)
        if not settled:
            since = waiting_since(changed_ms, dict(_marks(states, wanted)))
            if since is not None:
                found.waiting_since_ms[name] = min(since, found.waiting_since_ms.get(name, since))


def _enrichment(states: dict[Stage, tuple[Any, ...]]) -> dict[Stage, StageState]:
    """The one state that fingerprints depend on."""
    row = states.get(Stage.ENRICH)
    return {} if row is None else {Stage.ENRICH: StageState(Status(row[6]), row[7])}


def _marks(states: dict[Stage, tuple[Any, ...]], wanted: dict[Stage, str]) -> Iterator[tuple[Stage, Mark]]:
    for stage, row in states.items():
        yield stage, Mark(Status(row[6]), row[7] == wanted[stage], row[9], row[10])


def _totals(connection: Connection) -> list[StageTotal]:
    return [
        StageTotal(Stage(row.stage), Status(row.status), row.reason, row.documents, row.milliseconds)
        for row in connection.execute(sa.select(stage_totals))
    ]
