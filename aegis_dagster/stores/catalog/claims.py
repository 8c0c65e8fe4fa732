"""The catalog's stage states: claims, leases, outcomes, and artifacts that are no longer used.

A claim is one transaction, so two processes never work on the same document and stage. A claim is a lease: it
expires, or is released at once if its owner was a process of this host that has ended.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from aegis_dagster.domain.answers import storable
from aegis_dagster.domain.identifiers import DocumentId, Revision
from aegis_dagster.domain.stages import ARTIFACT_STAGES, Failure, Outcome, Stage, StageState, Status
from aegis_dagster.errors import FailureCode
from aegis_dagster.ports import Clock
from aegis_dagster.process_identity import is_dead, new_owner
from aegis_dagster.stores.catalog.schema import artifact_garbage, documents, stage_states
from aegis_dagster.stores.catalog.statements import (
    FINISH,
    HELD,
    HELD_UNTIL_COMMIT,
    RELEASE,
    STATE_COLUMNS,
    STATES,
    STATES_TO_CLAIM,
    SWEPT,
    USING,
)
from aegis_dagster.stores.catalog.totals import StageTotals
from aegis_dagster.stores.database import exclusive, object_in, read, write
from aegis_dagster.stores.merging import merging

T = TypeVar("T", bound=str)
FACTS = "what a stage recorded about a document"
SLICE = 500  # ids in one statement; SQLite allows 32,766 variables

STATUSES = {status.value: status for status in Status}  # faster than Status(value), half a million times
# Claims of this process that are over, which the database could not be told: nobody in this process waits for them.
_given_up: set[tuple[str, Stage, DocumentId]] = set()
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
        claimed: dict[DocumentId, tuple[str, int]] = {}  # fingerprint and attempts
        outdated: list[tuple[Stage, str]] = []
        with self._given_up_if_lost(stage, claimed), exclusive(self.engine) as connection:
            for part in slices(wanted):
                rows = _rows(connection, STATES_TO_CLAIM, stage, part)
                for document_id in part:
                    revision, fingerprint = wanted[document_id]
                    row = rows.get(document_id)
                    if row is None or row.deleted or row.revision != revision or self._held(stage, document_id, row):
                        continue
                    settled = row.status is not None and _state(row).settled(fingerprint, clear=document_id in clear)
                    if settled and document_id not in force:
                        continue
                    again = row.status is not None and row.fingerprint == fingerprint
                    counts = again and row.status not in (Status.DONE, Status.DEFERRED)  # waiting is not an attempt
                    # Whoever was killed may not even have begun: this attempt is that one.
                    further = 0 if row.status == Status.RUNNING else 1
                    claimed[document_id] = (fingerprint, row.attempts + further if counts else 1)
                    if row.status is not None and not again:
                        outdated.append((stage, row.fingerprint))
            self._take(connection, stage, claimed)
            discard(connection, outdated)
        return list(claimed)

    def held_by_others(self, stage: Stage, ids: Collection[DocumentId]) -> set[DocumentId]:
        """Which of these another live process is working on now."""
        held: set[DocumentId] = set()
        with read(self.engine) as connection:
            for part in slices(ids):
                rows = _rows(connection, STATES, stage, part)
                held.update(name for name, row in rows.items() if self._held(stage, name, row))
        return held

    def held(self) -> int:
        """How many documents live processes are working on now."""
        leases = sa.select(stage_states).where(stage_states.c.lease_owner.is_not(None))
        with read(self.engine) as connection:
            rows = connection.execute(leases)
            return len({row.document_id for row in rows if self._held(row.stage, row.document_id, row)})

    def renew(self) -> None:
        """Renew every lease of this owner, and release what could not be released before."""
        for stage in Stage:
            over = [name for owner, at, name in tuple(_given_up) if (owner, at) == (self._owner, stage)]
            if over:
                self.release(stage, over)
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
            planned = {document_id: fingerprint for document_id, (fingerprint, _) in outcomes.items()}
            held = self._holds(connection, HELD_UNTIL_COMMIT, stage, planned)
            rows = []
            for document_id in sorted(held):
                outcome = outcomes[document_id][1]
                totals.add(outcome)
                rows.append({"of": document_id, "at": stage, **_ended(outcome), "finished_ms": self._now_ms()})
            if rows:
                connection.execute(FINISH, rows)
            totals.write(connection)

    def release(self, stage: Stage, ids: Collection[DocumentId]) -> None:
        """Release claimed documents without an outcome: the step stops, and a later run processes them.

        If the database cannot be told, other processes wait until the claims expire; this one does not.
        """
        over = {(self._owner, stage, document_id) for document_id in ids}
        _given_up.update(over)
        with write(self.engine) as connection:
            for part in slices(ids):
                connection.execute(RELEASE, {"ids": part, "at": stage, "owner": self._owner})
        _given_up.difference_update(over)

    def release_container(self, name: str) -> None:
        """Let the claims of every process of a container expire. name: its host's, of its own; it is known to be gone.

        From outside nobody sees whether a container's processes live, so these claims would last until they expire.
        """
        theirs = stage_states.c.lease_owner.startswith(f"{name}.", autoescape=True)
        with write(self.engine) as connection:
            connection.execute(sa.update(stage_states).where(theirs).values(lease_expires_ms=0))

    def claim_deleted(self, *, limit: int) -> list[DocumentId]:
        """Claim deleted documents that no process works on, so that their data can be removed.

        From then on their published stages do not count as done: a file that comes back meanwhile is published
        again, but only after `release` or `DocumentList.forget`.
        """
        gone = sa.select(documents.c.id).where(documents.c.deleted)
        with exclusive(self.engine) as connection:
            leases = sa.select(stage_states).where(
                stage_states.c.document_id.in_(gone), stage_states.c.lease_owner.is_not(None)
            )
            rows = connection.execute(leases)
            busy = {row.document_id for row in rows if self._held(row.stage, row.document_id, row)}
            first = gone.order_by(documents.c.id).limit(limit + len(busy))
            free = [DocumentId(name) for name in connection.execute(first).scalars() if name not in busy]
            claimed = free[:limit]
            for stage in (Stage.EMBED, Stage.GRAPH):
                self._take(connection, stage, dict.fromkeys(claimed, (_REMOVED, 1)))
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
        with read(self.engine) as connection:
            return self._holds(connection, HELD, stage, wanted)

    def garbage(self) -> list[tuple[Stage, str]]:
        """Artifacts that a document stopped using; `sweep` deletes those that no other document uses."""
        with read(self.engine) as connection:
            return [(Stage(row.stage), row.fingerprint) for row in connection.execute(sa.select(artifact_garbage))]

    def sweep(
        self, artifacts: Collection[tuple[Stage, str]], delete: Callable[[Collection[tuple[Stage, str]]], None]
    ) -> int:
        """Delete those of these artifacts, all of the garbage list, that no document refers to. Returns how many.

        This is one write transaction: a claim of the same fingerprint is either committed before, and the artifact
        stays, or begins after, and finds it gone.
        """
        keys = [{"at": stage, "named": fingerprint} for stage, fingerprint in artifacts]
        with exclusive(self.engine) as connection:
            used = {
                (Stage(row.stage), row.fingerprint)
                for part in slices([fingerprint for _, fingerprint in artifacts])
                for row in connection.execute(USING, {"fingerprints": part})
            }
            unused = [artifact for artifact in artifacts if artifact not in used]
            delete(unused)
            connection.execute(SWEPT, keys)
        return len(unused)

    def _held(self, stage: Stage, document_id: DocumentId, row: Row[Any]) -> bool:
        """Whether another owner is at work on a document."""
        owner = row.lease_owner
        if owner is None or owner == self._owner or (owner, stage, document_id) in _given_up:
            return False
        return bool(row.lease_expires_ms > self._now_ms()) and not is_dead(row.lease_owner)

    @contextmanager
    def _given_up_if_lost(self, stage: Stage, claimed: Mapping[DocumentId, object]) -> Iterator[None]:
        """For the transaction that claims: if the answer to its commit is lost, nobody knows of these claims."""
        try:
            yield
        except BaseException:
            _given_up.update((self._owner, stage, document_id) for document_id in claimed)
            raise
        _given_up.difference_update([(self._owner, stage, document_id) for document_id in claimed])

    def _holds(
        self, connection: Connection, held: sa.Select[Any], stage: Stage, wanted: Mapping[DocumentId, str]
    ) -> set[DocumentId]:
        """Which of these claims, by document and fingerprint, this owner holds."""
        found: set[DocumentId] = set()
        for part in slices(wanted):
            rows = connection.execute(held, {"ids": part, "at": stage, "owner": self._owner})
            found.update(row.document_id for row in rows if wanted[row.document_id] == row.fingerprint)
        return found

    def _take(self, connection: Connection, stage: Stage, claimed: Mapping[DocumentId, tuple[str, int]]) -> None:
        """Hold these documents for work under a fingerprint, at an attempt."""
        now = self._now_ms()
        rows = [
            {
                "document_id": document_id,
                "stage": stage,
                "status": Status.RUNNING,
                "fingerprint": fingerprint,
                "attempts": attempts,
                "started_ms": now,
                "finished_ms": None,
                "lease_owner": self._owner,
                "lease_expires_ms": now + int(self.lease_seconds * 1000),
                "facts": "{}",
            }
            for document_id, (fingerprint, attempts) in claimed.items()
        ]
        if rows:
            connection.execute(merging(stage_states, tuple(rows[0])), rows)

    def _now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)


def _rows(
    connection: Connection, states: sa.Select[Any], stage: Stage, ids: Sequence[DocumentId]
) -> dict[DocumentId, Row[Any]]:
    return {row.id: row for row in connection.execute(states, {"ids": ids, "at": stage})}


def discard(connection: Connection, artifacts: Iterable[tuple[Stage, str]]) -> None:
    """Put artifacts on the garbage list; `Catalog.sweep` deletes those that no document uses."""
    rows = [{"stage": stage, "fingerprint": name} for stage, name in artifacts if stage in ARTIFACT_STAGES]
    if rows:
        connection.execute(merging(artifact_garbage, ("stage", "fingerprint"), keeping=True), rows)


def slices(ids: Iterable[T]) -> Iterable[list[T]]:
    """The ids in lists that fit into one statement."""
    part: list[T] = []
    for one in ids:
        part.append(one)
        if len(part) == SLICE:
            yield part
            part = []
    if part:
        yield part


def _ended(outcome: Outcome) -> dict[str, Any]:
    failure = outcome.failure
    return {
        "status": outcome.status,
        "error_code": failure.code if failure else None,
        "error_message": storable(failure.message) if failure else None,
        "error_remedy": storable(failure.remedy) if failure else None,
        "retryable": failure.retryable if failure else None,
        "seconds": outcome.seconds,
        "lease_owner": None,
        "lease_expires_ms": None,
        "facts": storable(json.dumps(outcome.facts, sort_keys=True, ensure_ascii=False)),
    }


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
