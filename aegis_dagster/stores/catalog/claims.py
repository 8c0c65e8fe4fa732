"""The catalog's stage states: claims, leases, outcomes, and artifacts that are no longer used.

A claim is one transaction, so two processes never work on the same document and stage. A claim is a lease: it
expires, or is released at once if its owner was a process of this host that has ended.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from aegis_dagster.domain.answers import storable
from aegis_dagster.domain.identifiers import DocumentId, Revision
from aegis_dagster.domain.stages import ARTIFACT_STAGES, Failure, Outcome, Stage, StageState, Status
from aegis_dagster.errors import FailureCode
from aegis_dagster.ports import Clock
from aegis_dagster.process_identity import is_dead, new_owner
from aegis_dagster.stores.catalog.schema import artifact_garbage, documents, stage_states
from aegis_dagster.stores.catalog.totals import StageTotals
from aegis_dagster.stores.database import exclusive, object_in, read, upsert, write

FACTS = "what a stage recorded about a document"
SLICE = 500  # ids in one statement; SQLite allows 32,766 variables

STATUSES = {status.value: status for status in Status}  # faster than Status(value), half a million times
# The columns of a state, in the order of `state_of`.
STATE_COLUMNS = (
    *("status", "fingerprint", "attempts", "error_code", "error_message", "error_remedy", "retryable"),
    *("started_ms", "finished_ms", "facts"),
)
_REMOVED = "removed"  # fingerprint of a published stage while its data is removed; matches no document


class Catalog:
    """Stage states of all documents. One object is one owner of leases."""

    def __init__(self, engine: Engine, clock: Clock, *, lease_seconds: float) -> None:
        self.engine = engine
        self.lease_seconds = lease_seconds
        self._clock = clock
        self._owner = new_owner()

    def claim(
        self,
        stage: Stage,
        wanted: Mapping[DocumentId, tuple[Revision, str]],
        *,
        force: Collection[DocumentId] = (),
        clear: Collection[DocumentId] = (),
    ) -> list[DocumentId]:
        """Claim the documents that still need work at this stage and that no other owner holds.

        wanted: the revision and fingerprint that the work was planned for; a document that now has another
        revision, or was deleted, is not claimed. force: those to claim even if they are settled.
        clear: those whose stage above failed permanently.
        """
        claimed = []
        with exclusive(self.engine) as connection:
            for part in slices(wanted):
                rows = self._claim_rows(connection, stage, part)
                for document_id in part:
                    revision, fingerprint = wanted[document_id]
                    row = rows.get(document_id)
                    if row is None or row.deleted or row.revision != revision or self._held(row):
                        continue
                    settled = row.status is not None and _state(row).settled(fingerprint, clear=document_id in clear)
                    if settled and document_id not in force:
                        continue
                    again = row.status is not None and row.fingerprint == fingerprint
                    counts = again and row.status not in (Status.DONE, Status.DEFERRED)  # waiting is not an attempt
                    attempts = row.attempts + 1 if counts else 1
                    self._take(connection, stage, document_id, fingerprint, attempts=attempts)
                    if row.status is not None and not again:
                        discard(connection, [(stage, row.fingerprint)])
                    claimed.append(document_id)
        return claimed

    def held_by_others(self, stage: Stage, ids: Collection[DocumentId]) -> set[DocumentId]:
        """Which of these another live process is working on now."""
        held: set[DocumentId] = set()
        with read(self.engine) as connection:
            for part in slices(ids):
                rows = self._claim_rows(connection, stage, part)
                held.update(document_id for document_id, row in rows.items() if self._held(row))
        return held

    def renew(self) -> None:
        """Renew every lease of this owner."""
        with write(self.engine) as connection:
            connection.execute(
                sa.update(stage_states)
                .where(stage_states.c.lease_owner == self._owner)
                .values(lease_expires_ms=self._now_ms() + int(self.lease_seconds * 1000))
            )

    def finish(self, stage: Stage, outcomes: Mapping[DocumentId, tuple[str, Outcome]]) -> None:
        """Record the outcomes of claimed documents: (fingerprint, outcome). For a lost lease nothing is recorded."""
        totals = StageTotals(stage)
        with write(self.engine) as connection:
            for document_id, (fingerprint, outcome) in outcomes.items():
                failure = outcome.failure
                recorded = connection.execute(
                    sa.update(stage_states)
                    .where(
                        stage_states.c.document_id == document_id,
                        stage_states.c.stage == stage,
                        stage_states.c.lease_owner == self._owner,
                        stage_states.c.fingerprint == fingerprint,
                    )
                    .values(
                        status=outcome.status,
                        error_code=failure.code if failure else None,
                        error_message=storable(failure.message) if failure else None,
                        error_remedy=storable(failure.remedy) if failure else None,
                        retryable=failure.retryable if failure else None,
                        finished_ms=self._now_ms(),
                        seconds=outcome.seconds,
                        lease_owner=None,
                        lease_expires_ms=None,
                        facts=storable(json.dumps(outcome.facts, sort_keys=True, ensure_ascii=False)),
                    )
                )
                if recorded.rowcount:
                    totals.add(outcome)
            totals.write(connection)

    def release(self, stage: Stage, ids: Collection[DocumentId]) -> None:
        """Release claimed documents without an outcome: the step stops, and a later run processes them."""
        with write(self.engine) as connection:
            for part in slices(ids):
                connection.execute(
                    sa.update(stage_states)
                    .where(
                        stage_states.c.document_id.in_(part),
                        stage_states.c.stage == stage,
                        stage_states.c.lease_owner == self._owner,
                    )
                    .values(
                        status=Status.PENDING,
                        lease_owner=None,
                        lease_expires_ms=None,
                        attempts=stage_states.c.attempts - 1,
                    )
                )

    def claim_deleted(self, *, limit: int) -> list[DocumentId]:
        """Claim deleted documents that no process works on, so that their data can be removed.

        From then on their published stages do not count as done: a file that comes back meanwhile is published
        again, but only after `release` or `DocumentList.forget`.
        """
        gone = sa.select(documents.c.id).where(documents.c.deleted)
        claimed: list[DocumentId] = []
        with exclusive(self.engine) as connection:
            leases = sa.select(stage_states).where(
                stage_states.c.document_id.in_(gone), stage_states.c.lease_owner.is_not(None)
            )
            busy = {row.document_id for row in connection.execute(leases) if self._held(row)}
            for document_id in connection.execute(gone.order_by(documents.c.id)).scalars():
                if document_id not in busy and len(claimed) < limit:
                    claimed.append(DocumentId(document_id))
                    for stage in (Stage.EMBED, Stage.GRAPH):
                        self._take(connection, stage, DocumentId(document_id), _REMOVED, attempts=1)
        return claimed

    def reset_failures(self, ids: Collection[DocumentId]) -> int:
        """Reset failures, so that the next run tries again. Returns how many stages were reset."""
        changed = 0
        with write(self.engine) as connection:
            for part in slices(ids):
                changed += connection.execute(
                    sa.update(stage_states)
                    .where(stage_states.c.document_id.in_(part), stage_states.c.status == Status.FAILED)
                    .values(status=Status.PENDING, attempts=0, error_code=None, error_message=None, error_remedy=None)
                ).rowcount
        return changed

    def reset_stage(self, stage: Stage, chunks: str | None = None) -> int:
        """Mark documents as not done at a stage, because the stage's input or its view is gone.

        chunks: only those that use the chunk artifact with this fingerprint; None: all. Returns how many were marked.
        """
        update = sa.update(stage_states).where(stage_states.c.stage == stage, stage_states.c.status == Status.DONE)
        if chunks is not None:
            used = stage_states.alias()
            users = sa.select(used.c.document_id).where(used.c.stage == Stage.CHUNK, used.c.fingerprint == chunks)
            update = update.where(stage_states.c.document_id.in_(users))
        with write(self.engine) as connection:
            return connection.execute(update.values(status=Status.PENDING, attempts=0)).rowcount

    def still_held(self, stage: Stage, wanted: Mapping[DocumentId, str]) -> set[DocumentId]:
        """Which of these claims, by document and fingerprint, this owner still holds."""
        held: set[DocumentId] = set()
        with read(self.engine) as connection:
            for part in slices(wanted):
                query = sa.select(stage_states.c.document_id, stage_states.c.fingerprint).where(
                    stage_states.c.document_id.in_(part),
                    stage_states.c.stage == stage,
                    stage_states.c.lease_owner == self._owner,
                )
                rows = connection.execute(query)
                held.update(row.document_id for row in rows if wanted[row.document_id] == row.fingerprint)
        return held

    def garbage(self) -> list[tuple[Stage, str]]:
        """Artifacts that a document stopped using; `sweep` deletes those that no other document uses."""
        with read(self.engine) as connection:
            return [(Stage(row.stage), row.fingerprint) for row in connection.execute(sa.select(artifact_garbage))]

    def sweep(self, stage: Stage, fingerprint: str, delete: Callable[[Stage, str], None]) -> bool:
        """Delete one artifact of the garbage list unless a document refers to it. Returns whether it was deleted.

        This is one write transaction: a claim of the same fingerprint is either committed before, and the artifact
        stays, or begins after, and finds it gone.
        """
        with exclusive(self.engine) as connection:
            used = connection.execute(
                sa.select(sa.literal(1))
                .where(stage_states.c.fingerprint == fingerprint, stage_states.c.stage == stage)
                .limit(1)
            ).first()
            if used is None:
                delete(stage, fingerprint)
            connection.execute(
                sa.delete(artifact_garbage).where(
                    artifact_garbage.c.stage == stage, artifact_garbage.c.fingerprint == fingerprint
                )
            )
        return used is None

    def _claim_rows(
        self, connection: Connection, stage: Stage, ids: Sequence[DocumentId]
    ) -> dict[DocumentId, Row[Any]]:
        join = documents.outerjoin(
            stage_states, sa.and_(stage_states.c.document_id == documents.c.id, stage_states.c.stage == stage)
        )
        columns = [stage_states.c[name] for name in (*STATE_COLUMNS, "lease_owner", "lease_expires_ms")]
        query = sa.select(documents.c.id, documents.c.revision, documents.c.deleted, *columns).select_from(join)
        return {row.id: row for row in connection.execute(query.where(documents.c.id.in_(ids)))}

    def _held(self, row: Row[Any]) -> bool:
        if row.lease_owner is None or row.lease_owner == self._owner:
            return False
        return bool(row.lease_expires_ms > self._now_ms()) and not is_dead(row.lease_owner)

    def _take(
        self, connection: Connection, stage: Stage, document_id: DocumentId, fingerprint: str, *, attempts: int
    ) -> None:
        values = {
            "status": Status.RUNNING,
            "fingerprint": fingerprint,
            "attempts": attempts,
            "started_ms": self._now_ms(),
            "finished_ms": None,
            "lease_owner": self._owner,
            "lease_expires_ms": self._now_ms() + int(self.lease_seconds * 1000),
            "facts": "{}",
        }
        statement = upsert(connection, stage_states).values(document_id=document_id, stage=stage, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=["document_id", "stage"], set_=values))

    def _now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)


def discard(connection: Connection, artifacts: Iterable[tuple[Stage, str]]) -> None:
    """Put artifacts on the garbage list; `Catalog.sweep` deletes those that no document uses."""
    rows = [{"stage": stage, "fingerprint": name} for stage, name in artifacts if stage in ARTIFACT_STAGES]
    if rows:
        connection.execute(upsert(connection, artifact_garbage).on_conflict_do_nothing(), rows)


def slices(ids: Iterable[DocumentId]) -> Iterable[list[DocumentId]]:
    """The ids in lists that fit into one statement."""
    part: list[DocumentId] = []
    for document_id in ids:
        part.append(document_id)
        if len(part) == SLICE:
            yield part
            part = []
    if part:
        yield part


def _state(row: Row[Any]) -> StageState:
    return state_of(*(row._mapping[name] for name in STATE_COLUMNS))


def state_of(
    status: str,
    fingerprint: str,
    attempts: int,
    error_code: str | None,
    error_message: str,
    error_remedy: str,
    retryable: bool | None,
    started_ms: int | None,
    finished_ms: int | None,
    facts: str,
) -> StageState:
    """The state in these columns."""
    failure = None
    if error_code is not None and status == Status.FAILED:
        failure = Failure(FailureCode(error_code), error_message, error_remedy, bool(retryable))
    found = object_in(facts, FACTS) if facts != "{}" else {}
    return StageState(STATUSES[status], fingerprint, attempts, failure, found, started_ms, finished_ms)
