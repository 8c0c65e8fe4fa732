"""The vector store: Qdrant through qdrant-client, in its local mode.

One collection per embedding model, `<alias>__<model>`; the alias points to the one that other readers use.
Local mode admits one process: a file lock beside the folder makes others wait. It holds all points in memory
and reads them when opened (about 0.1 s per 1,000 points): use `opened()` around several operations.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from aegis_dagster.domain.identifiers import ChunkId, DocumentId
from aegis_dagster.errors import ServiceError, StoreBusy
from aegis_dagster.ports import SearchHit, VectorPoint, Vectors
from aegis_dagster.stores.faults import service_error
from aegis_dagster.stores.vectors import qdrant_local, qdrant_points

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

UPSERT_BATCH = 500
_READ_BATCH = 5000  # local mode sorts all ids for every page


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """One point as the store holds it."""

    id: ChunkId
    payload: dict[str, Any]
    vector: Vectors | None  # shape (dimensions,); None if not requested


class QdrantStore:
    """Implements ports.VectorStore on a local folder. Threads may share it; processes wait for each other.

    Every operation raises StoreBusy when another process holds the store longer than `lock_timeout_seconds`,
    and ServiceError when the folder cannot be read or written.
    """

    def __init__(self, path: Path, *, alias: str, model: str, dimensions: int, lock_timeout_seconds: float) -> None:
        """path: the folder, created by the first write. model: the embedding model, whose vectors have `dimensions`."""
        self._path = path
        self._alias = alias
        self._model = model
        self._dimensions = dimensions
        self._collection = qdrant_points.physical_name(alias, model)
        self._timeout = lock_timeout_seconds
        # Threads that share the store may acquire it in one thread and release it in another.
        self._lock = FileLock(f"{path}.lock", thread_local=False)
        self._guard = RLock()  # local mode is not thread-safe
        self._client: QdrantClient | None = None
        self._users = 0

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keep the store open and locked against other processes for several operations. May be nested."""
        with self._guard:
            if self._users == 0:
                self._open()
            self._users += 1
        try:
            yield
        finally:
            with self._guard:
                self._users -= 1
                if self._users == 0:
                    self._close()

    def exists(self) -> bool:
        """Whether the collection of this or the previous model exists. Does not open the store."""
        names = (self._collection, self.active_collection())
        return any(name is not None and (self._path / "collection" / name).is_dir() for name in names)

    def check(self) -> None:
        """Raises ServiceError when the store cannot be read, as far as that is seen without loading its points."""
        try:
            qdrant_local.check_folder(self._path)
        except (OSError, ValueError, sqlite3.Error) as error:
            raise self._fault(error) from error

    @property
    def model(self) -> str:
        """The embedding model whose vectors it holds."""
        return self._model

    @property
    def collection(self) -> str:
        """Name of this model's collection."""
        return self._collection

    def active_collection(self) -> str | None:
        """The collection that readers use: the previous one until `activate`. Does not open the store."""
        return qdrant_local.alias_target(self._path, self._alias)

    def is_alone(self) -> bool:
        """Whether readers use this model's collection and no other is there. Does not open the store."""
        others = set(qdrant_local.collections(self._path, self._alias)) - {self._collection}
        return not others and self.active_collection() == self._collection

    def replace_documents(self, points: Sequence[VectorPoint], fingerprints: dict[DocumentId, str]) -> None:
        """Upsert the points, then delete every other point of the documents in `fingerprints`.

        In this order, so that a crash leaves old points beside new ones but never a gap; repeating it is harmless.
        A document without new points ends up with none.
        """
        with self._writing() as client:
            for start in range(0, len(points), UPSERT_BATCH):
                batch = [qdrant_points.to_point(point, self._model) for point in points[start : start + UPSERT_BATCH]]
                client.upsert(self._collection, batch, wait=True)
            current = {point.located.id for point in points}
            self._delete(
                client, [point.id for point in self._read(client, list(fingerprints)) if point.id not in current]
            )

    def delete_documents(self, document_ids: Sequence[DocumentId]) -> None:
        """Delete every point of these documents, of any model. Unknown documents are ignored."""
        if not document_ids or self._is_absent():
            return
        with self._writing() as client:
            self._delete(client, [point.id for point in self._read(client, document_ids)])
            only = qdrant_points.of_documents(document_ids)
            for other in self._others(client):  # while documents are embedded again, readers use the previous one
                client.delete(other, points_selector=only, wait=True)

    def search(
        self, question: str, vector: Vectors | None, *, limit: int, mode: str = "fused", collection: str | None = None
    ) -> list[SearchHit]:
        """The best `limit` passages for a question, best first; empty if nothing is stored.

        mode: "dense" (by `vector`, shape (dimensions,)), "sparse" (by words) or "fused" (both). `collection`
        restricts to one folder. Raises ValueError for another mode.
        """
        if self._is_absent():
            return []
        with self._operation() as client:
            arguments = qdrant_points.search_arguments(question, vector, mode)
            if arguments is None or not client.collection_exists(self._collection):
                return []
            only = qdrant_points.of_collection(collection)
            found = client.query_points(self._collection, query_filter=only, limit=limit, **arguments)
            return [qdrant_points.to_hit(point) for point in found.points]

    def count(self) -> int:
        """The number of stored points."""
        if self._is_absent():
            return 0
        with self._operation() as client:
            if not client.collection_exists(self._collection):
                return 0
            return client.count(self._collection, exact=True).count

    def counts_by_document(self) -> dict[DocumentId, int]:
        """The number of points of each document; documents without points are absent."""
        return dict(Counter(DocumentId(point.payload["document"]) for point in self.scan(fields=["document"])))

    def scan(self, *, with_vectors: bool = False, fields: Sequence[str] | None = None) -> Iterator[StoredPoint]:
        """Every point, ascending by id. fields: the payload fields to read. The store stays open meanwhile."""
        if self._is_absent():
            return
        with self._operation() as client:
            if client.collection_exists(self._collection):
                yield from self._read(client, None, with_vectors=with_vectors, fields=fields)

    def activate(self, *, expected_points: int) -> None:
        """Point the alias to this model's collection and drop the collections of other models.

        Raises ServiceError, and changes nothing, unless exactly `expected_points` are stored.
        """
        from qdrant_client import models

        with self._writing() as client:
            stored = client.count(self._collection, exact=True).count
            if stored != expected_points:
                raise ServiceError(
                    f"{self._collection} holds {stored} points instead of {expected_points}; "
                    f"the alias {self._alias} was not switched.",
                    remedy="run `aegis ingest` until nothing is pending, then again.",
                )
            create = models.CreateAlias(collection_name=self._collection, alias_name=self._alias)
            delete = models.DeleteAlias(alias_name=self._alias)
            client.update_collection_aliases(
                [
                    models.DeleteAliasOperation(delete_alias=delete),
                    models.CreateAliasOperation(create_alias=create),
                ]
            )
            for other in self._others(client):
                client.delete_collection(other)

    def _is_absent(self) -> bool:
        """Whether nothing is stored yet. Something else than a folder in its place is an error when it is opened."""
        return not os.path.lexists(self._path)

    @contextmanager
    def _operation(self) -> Iterator[QdrantClient]:
        """The open client, for one thread at a time, with its errors translated into ours."""
        with self.opened(), self._guard:
            assert self._client is not None
            try:
                yield self._client
            except (sqlite3.Error, OSError) as error:
                raise self._fault(error) from error

    @contextmanager
    def _writing(self) -> Iterator[QdrantClient]:
        """As `_operation`, but creates this model's collection if needed, and syncs the writes to disk at the end."""
        with self._operation() as client:
            self._ensure_collection(client)
            connection = qdrant_local.sync_at_checkpoints(client, self._collection)
            yield client
            qdrant_local.checkpoint(connection)

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=self._timeout)
        except Timeout as error:
            raise self._busy() from error
        except OSError as error:
            raise self._fault(error) from error
        try:
            self._client = qdrant_local.open_local(self._path)
        except BaseException as error:
            self._lock.release()
            if isinstance(error, RuntimeError) and "already accessed" in str(error):
                raise self._busy() from error
            if isinstance(error, Exception):
                raise self._fault(error) from error
            raise

    def _fault(self, error: Exception) -> ServiceError:
        """What is wrong and what helps. Errors of neither disk nor SQLite come from contents that do not fit."""
        place = qdrant_local.place_of(self._path)
        return service_error(error, place) or ServiceError(
            f"{place.what} is damaged: {type(error).__name__}: {' '.join(str(error).split())[:200]}.",
            remedy=place.damaged,
        )

    def _close(self) -> None:
        client, self._client = self._client, None
        try:
            if client is not None:
                client.close()
        finally:
            self._lock.release()

    def _busy(self) -> StoreBusy:
        return StoreBusy(
            f"Another process has kept the vector store {self._path} for {self._timeout:.0f} s.",
            remedy="wait until it has finished, or raise AEGIS_QDRANT__LOCK_TIMEOUT_SECONDS.",
        )

    def _ensure_collection(self, client: QdrantClient) -> None:
        """Create this model's collection if it is missing, and the alias if it points to none."""
        from qdrant_client import models

        if not client.collection_exists(self._collection):
            client.create_collection(self._collection, **qdrant_points.vector_layout(self._dimensions))
        if self._alias not in {alias.alias_name for alias in client.get_aliases().aliases}:
            create = models.CreateAlias(collection_name=self._collection, alias_name=self._alias)
            client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])

    def _read(
        self,
        client: QdrantClient,
        document_ids: Sequence[DocumentId] | None,
        *,
        with_vectors: bool = False,
        fields: Sequence[str] | None = None,
    ) -> Iterator[StoredPoint]:
        """The points of these documents (None: of all documents), ascending by id."""
        import numpy as np

        only = None if document_ids is None else qdrant_points.of_documents(document_ids)
        offset: Any = None
        while True:
            records, offset = client.scroll(
                self._collection,
                scroll_filter=only,
                limit=_READ_BATCH,
                offset=offset,
                with_payload=True if fields is None else list(fields),
                with_vectors=[qdrant_points.DENSE] if with_vectors else False,
            )
            for record in records:
                vector = record.vector[qdrant_points.DENSE] if isinstance(record.vector, dict) else None
                dense = None if vector is None else np.asarray(vector, dtype=np.float32)
                yield StoredPoint(ChunkId(str(record.id)), record.payload or {}, dense)
            if offset is None:
                return

    def _others(self, client: QdrantClient) -> list[str]:
        """The collections of other models behind the alias."""
        names = (each.name for each in client.get_collections().collections)
        return [name for name in names if name.startswith(f"{self._alias}__") and name != self._collection]

    def _delete(self, client: QdrantClient, ids: Sequence[ChunkId]) -> None:
        for start in range(0, len(ids), UPSERT_BATCH):
            client.delete(self._collection, points_selector=list(ids[start : start + UPSERT_BATCH]), wait=True)
