"""The catalog's list of documents: applies listings, selects documents, removes deleted ones."""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from aegis_dagster.domain.identifiers import CollectionName, DocumentId, Revision
from aegis_dagster.domain.listing import KnownFiles, Listing, ListingDiff, PassedOver, SeenFile
from aegis_dagster.domain.stages import ARTIFACT_STAGES, Document, Stage, Status
from aegis_dagster.ports import Clock
from aegis_dagster.stores.catalog.claims import discard, slices
from aegis_dagster.stores.catalog.schema import artifact_garbage, documents, passed_over_files, stage_states
from aegis_dagster.stores.database import exclusive, read, upsert, write

_STREAMED = {"yield_per": 1_000}  # a million rows are never in memory together


class DocumentList:
    """All documents of the watched root."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.engine = engine
        self._clock = clock

    def known(self, scope: str = "") -> KnownFiles:
        """The known files below a scope: "" for the whole root, a folder "a/b", or one document's id."""
        columns = (documents.c[name] for name in ("id", "revision", "stamp", "size_bytes", "mail", "context"))
        query = sa.select(*columns).where(~documents.c.deleted)
        found = KnownFiles()
        with read(self.engine) as connection:
            for document_id, *file in connection.execute(_within(query, scope), execution_options=_STREAMED):
                found.add(document_id, *file)
        return found

    def count(self) -> int:
        """How many documents there are."""
        query = sa.select(sa.func.count()).select_from(documents).where(~documents.c.deleted)
        with read(self.engine) as connection:
            return int(connection.execute(query).scalar_one())

    def all(self, collection: CollectionName | None = None) -> list[Document]:
        """The documents of a collection, or of all, in the order of their ids."""
        query = sa.select(documents).where(~documents.c.deleted).order_by(documents.c.id)
        if collection is not None:
            query = query.where(documents.c.collection == collection)
        with read(self.engine) as connection:
            return [_document(row) for row in connection.execute(query)]

    def get(self, ids: Collection[DocumentId]) -> list[Document]:
        """These documents, in the order of their ids; unknown and deleted ones are left out."""
        found: list[Document] = []
        with read(self.engine) as connection:
            for part in slices(ids):
                query = sa.select(documents).where(documents.c.id.in_(part), ~documents.c.deleted)
                found.extend(_document(row) for row in connection.execute(query))
        return sorted(found, key=lambda document: document.id)

    def fingerprints(self, stage: Stage, ids: Collection[DocumentId]) -> dict[DocumentId, str]:
        """The recorded fingerprint of each of these documents at a stage; independent of the settings."""
        found: dict[DocumentId, str] = {}
        with read(self.engine) as connection:
            for part in slices(ids):
                query = (
                    sa.select(documents.c.id, stage_states.c.fingerprint)
                    .join(stage_states, stage_states.c.document_id == documents.c.id)
                    .where(documents.c.id.in_(part), ~documents.c.deleted, stage_states.c.stage == stage)
                )
                found.update((DocumentId(row.id), row.fingerprint) for row in connection.execute(query))
        return found

    def within(self, scope: str) -> list[Document]:
        """The documents below a folder, or the one with this id."""
        query = _within(sa.select(documents).where(~documents.c.deleted).order_by(documents.c.id), scope)
        with read(self.engine) as connection:
            return [_document(row) for row in connection.execute(query)]

    def collections(self) -> list[CollectionName]:
        """Names of the collections that have documents, sorted."""
        query = sa.select(documents.c.collection).where(~documents.c.deleted).distinct()
        with read(self.engine) as connection:
            return sorted(CollectionName(name) for name in connection.execute(query).scalars())

    def apply(self, listing: Listing, diff: ListingDiff, *, delete: bool, scope: str = "") -> None:
        """Bring the list up to date in one transaction. delete=False: deletions are held.

        Two hosts that list at once lock the same rows, each in the order of its listing: so one waits for the other.
        """
        with exclusive(self.engine) as connection:
            seen = (*diff.new, *diff.changed, *diff.touched, *(target for _, target in diff.moved))
            self._put(connection, {document_id: listing.files[document_id] for document_id in seen})
            _copy_states(connection, diff.moved)
            gone = [source for source, _ in diff.moved]
            gone.extend(diff.deleted if delete else ())
            for part in slices(gone):
                connection.execute(sa.update(documents).where(documents.c.id.in_(part)).values(deleted=True))
            _note_passed_over(connection, listing.passed_over, scope)

    def passed_over(self) -> list[PassedOver]:
        """The paths that the last scans saw but could not accept."""
        with read(self.engine) as connection:
            rows = connection.execute(sa.select(passed_over_files).order_by(passed_over_files.c.path))
            return [PassedOver(row.path, row.reason, row.remedy, False) for row in rows]

    def deleted(self) -> list[DocumentId]:
        """Deleted documents whose data still has to be removed."""
        query = sa.select(documents.c.id).where(documents.c.deleted).order_by(documents.c.id)
        with read(self.engine) as connection:
            return [DocumentId(document_id) for document_id in connection.execute(query).scalars()]

    def forget(self, ids: Collection[DocumentId]) -> None:
        """Remove deleted documents from the catalog and put their artifacts on the garbage list.

        A document that came back meanwhile stays.
        """
        with write(self.engine) as connection:
            for part in slices(ids):
                still = sa.select(documents.c.id).where(documents.c.id.in_(part), documents.c.deleted)
                part = [DocumentId(document_id) for document_id in connection.execute(still).scalars()]
                rows = connection.execute(
                    sa.select(stage_states.c.stage, stage_states.c.fingerprint).where(
                        stage_states.c.document_id.in_(part)
                    )
                ).all()
                connection.execute(sa.delete(documents).where(documents.c.id.in_(part), documents.c.deleted))
                discard(connection, [(Stage(row.stage), row.fingerprint) for row in rows])

    def _put(self, connection: Connection, files: Mapping[DocumentId, SeenFile]) -> None:
        now_ms = int(self._clock.now().timestamp() * 1000)
        rows: list[dict[str, Any]] = [
            {
                "id": document.id,
                "collection": document.collection,
                "revision": document.revision,
                "stamp": seen.stamp,
                "size_bytes": document.size_bytes,
                "suffix": document.suffix,
                "deleted": False,
                "first_seen_ms": now_ms,
                "changed_ms": now_ms,
                "mail": document.mail,
                "context": document.context,
            }
            for document, seen in ((seen.document(document_id), seen) for document_id, seen in files.items())
        ]
        if not rows:
            return
        statement = upsert(connection, documents)
        new = statement.excluded
        updated = {name: new[name] for name in rows[0] if name not in ("id", "first_seen_ms", "changed_ms")}
        changed = documents.c.deleted | (documents.c.revision != new.revision)
        updated["changed_ms"] = sa.case((changed, now_ms), else_=documents.c.changed_ms)
        # One statement for all rows: a first listing may have a hundred thousand.
        connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=updated), rows)


def _within(query: sa.Select[Any], scope: str) -> sa.Select[Any]:
    if not scope:
        return query
    # A range instead of LIKE: '%' and '_' in folder names are literal, and the index is used. '0' follows '/' in ASCII.
    below = sa.and_(documents.c.id >= scope + "/", documents.c.id < scope + "0")
    return query.where(sa.or_(documents.c.id == scope, below))


def _copy_states(connection: Connection, moved: Collection[tuple[DocumentId, DocumentId]]) -> None:
    """Moved documents keep their finished artifacts, whose fingerprints do not depend on the path."""
    if not moved:
        return
    source, target = sa.bindparam("source", type_=sa.Text), sa.bindparam("target", type_=sa.Text)
    mine, replaced = stage_states, stage_states.alias("replaced")
    kept = sa.and_(  # not IN, which SQLAlchemy does not batch
        mine.c.document_id == source,
        sa.or_(*(mine.c.stage == stage for stage in ARTIFACT_STAGES)),
        sa.or_(*(mine.c.status == status for status in (Status.DONE, Status.SKIPPED))),
    )
    lost = (
        sa.select(replaced.c.stage, replaced.c.fingerprint)
        .join(mine, mine.c.stage == replaced.c.stage)
        .where(kept, replaced.c.document_id == target, replaced.c.fingerprint != mine.c.fingerprint)
    )
    values: dict[str, sa.ColumnElement[Any]] = {
        **{column.name: column for column in mine.c},
        "document_id": target.label("document_id"),
        "lease_owner": sa.null().label("lease_owner"),
        "lease_expires_ms": sa.null().label("lease_expires_ms"),
    }
    copied = upsert(connection, mine).from_select(list(values), sa.select(*values.values()).where(kept))
    updated = {name: copied.excluded[name] for name in values}
    # Rows are copied within the database by two statements: a renamed folder may have a hundred thousand documents.
    pairs = [{"source": before, "target": after} for before, after in moved]
    discarded = upsert(connection, artifact_garbage).from_select(["stage", "fingerprint"], lost)
    connection.execute(discarded.on_conflict_do_nothing(), pairs)
    connection.execute(copied.on_conflict_do_update(index_elements=["document_id", "stage"], set_=updated), pairs)


def _note_passed_over(connection: Connection, items: Collection[PassedOver], scope: str) -> None:
    """Write only the differences, nearly always none: this runs at every scan while other writers wait."""
    table = passed_over_files
    query = sa.select(table.c.path, table.c.reason, table.c.remedy)
    if scope:
        below = sa.and_(table.c.path >= scope + "/", table.c.path < scope + "0")
        query = query.where(sa.or_(table.c.path == scope, below))
    before = {row.path: (row.reason, row.remedy) for row in connection.execute(query)}
    now = {item.path: (item.reason, item.remedy) for item in items}
    gone = [{"gone": path} for path in before if path not in now]
    if gone:
        connection.execute(sa.delete(table).where(table.c.path == sa.bindparam("gone")), gone)
    different = [
        {"path": path, "reason": reason, "remedy": remedy}
        for path, (reason, remedy) in now.items()
        if before.get(path) != (reason, remedy)
    ]
    if different:
        statement = upsert(connection, table)
        updated = {name: statement.excluded[name] for name in ("reason", "remedy")}
        connection.execute(statement.on_conflict_do_update(index_elements=["path"], set_=updated), different)


def _document(row: Row[Any]) -> Document:
    return Document(
        DocumentId(row.id),
        CollectionName(row.collection),
        Revision(row.revision),
        row.size_bytes,
        row.suffix,
        DocumentId(row.mail),
        row.context,
    )
