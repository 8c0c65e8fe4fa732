"""The vector store: Qdrant in a folder, by one of its engines, or on a server.

One collection per embedding model, `<alias>__<model>`; the alias leads to the one that other readers use.
An engine admits one process: a file lock beside the folder makes others wait. Opening takes time in proportion to the
points: use `opened()` around several operations that belong together, and `kept_open()` where others may come between.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Event, RLock, Thread

from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.errors import AegisError, ServiceError, StoreBusy
from aegis_dagster.ports import SearchHit, VectorPoint, Vectors
from aegis_dagster.stores.vectors.engines import Backend, Engine, EngineBusy, StoredPoint
from aegis_dagster.stores.vectors.points import asked_of, physical_name
from aegis_dagster.stores.vectors.turns import Turns

_LOOK_SECONDS = 0.1  # how often a process that keeps the store open looks whether another waits for it


class QdrantStore:
    """Implements ports.VectorStore. Threads may share it; processes wait for each other, if it is a folder.

    Every operation raises StoreBusy when another process holds the store longer than `lock_timeout_seconds`,
    ServiceError when it cannot be read or written, and ConfigurationError when a server does not admit this home.
    """

    def __init__(
        self, backend: Backend, *, alias: str, model: str, dimensions: int, lock_timeout_seconds: float
    ) -> None:
        """backend: a folder is created by the first write. model: of the vectors, which have `dimensions`."""
        self._backend = backend
        self._alias = alias
        self._model = model
        self._dimensions = dimensions
        self._collection = physical_name(alias, model)
        self._timeout = lock_timeout_seconds
        self._guard = RLock()  # engines are not thread-safe
        self._engine: Engine | None = None
        self._users = 0
        self._keepers = 0  # blocks of `kept_open`
        self._turns = Turns(backend.path)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keep the store open and locked against other processes for several operations. May be nested."""
        with self._guard:
            if self._backend.is_absent():  # somebody has deleted the folder
                self._close_unused()
            if self._engine is None:
                self._open()
            self._users += 1
        ended_well = False
        try:
            yield
            ended_well = True
        finally:
            with self._guard:
                self._users -= 1
                if not (self._keepers and ended_well):  # after an error the next operation opens what is there then
                    self._close_unused()

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Keep the store open from one operation to the next inside the block, until another process waits for it."""
        over = Event()
        watcher = Thread(target=self._let_others_in, args=(over,), daemon=True)
        with self._guard:
            self._keepers += 1
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            with self._guard:
                self._keepers -= 1
                if not self._keepers:
                    self._close_unused()

    def exists(self) -> bool:
        """Whether the collection of this or the previous model exists. Does not open the store."""
        names = (self._collection, self.active_collection())
        return any(name is not None and self._backend.has(name) for name in names)

    def check(self) -> None:
        """Raises ServiceError when the store cannot be read, as far as that is seen without loading its points."""
        try:
            self._backend.check()
        except (OSError, ValueError, sqlite3.Error) as error:
            raise self._backend.fault(error) from error

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
        return self._backend.alias_target(self._alias)

    def is_alone(self) -> bool:
        """Whether readers use this model's collection and no other is there. Does not open the store."""
        others = set(self._backend.collections(self._alias)) - {self._collection}
        return not others and self.active_collection() == self._collection

    def replace_documents(self, points: Sequence[VectorPoint], fingerprints: dict[DocumentId, str]) -> None:
        """Upsert the points, then delete every other point of the documents in `fingerprints`.

        In this order, so that a crash leaves old points beside new ones but never a gap; repeating it is harmless.
        A document without new points ends up with none.
        """
        with self._writing() as engine:
            # Before the upsert: of two processes that replace the same documents on a server, neither deletes what the
            # other has just written.
            stored = [point.id for point in engine.read(self._collection, list(fingerprints), fields=["document"])]
            engine.upsert(self._collection, points, self._model)
            current = {point.located.id for point in points}
            engine.delete(self._collection, [point for point in stored if point not in current])

    def delete_documents(self, document_ids: Sequence[DocumentId]) -> None:
        """Delete every point of these documents, of any model. Unknown documents are ignored."""
        if not document_ids or self._backend.is_absent():
            return
        with self._operation() as engine:
            # While documents are embedded again, readers use the previous collection.
            for collection in self._backend.collections(self._alias):
                engine.delete_documents(collection, document_ids)
                engine.sync(collection)

    def search(
        self, question: str, vector: Vectors | None, *, limit: int, mode: str = "fused", collection: str | None = None
    ) -> list[SearchHit]:
        """The best `limit` passages for a question, best first; empty if nothing is stored.

        mode: "dense" (by `vector`, shape (dimensions,)), "sparse" (by words) or "fused" (both). `collection`
        restricts to one folder. Raises ValueError for another mode.
        """
        if self._backend.is_absent():
            return []
        asked = asked_of(question, vector, mode)
        with self._operation() as engine:
            if asked is None or not engine.has(self._collection):
                return []
            hits = engine.search(self._collection, asked, limit=limit, only=collection)
            return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))  # equals in an order of their own

    def count(self) -> int:
        """The number of stored points."""
        if self._backend.is_absent():
            return 0
        with self._operation() as engine:
            return engine.count(self._collection) if engine.has(self._collection) else 0

    def counts_by_document(self) -> dict[DocumentId, int]:
        """The number of points of each document; documents without points are absent."""
        if self._backend.is_absent():
            return {}
        with self._operation() as engine:
            return engine.count_by_document(self._collection) if engine.has(self._collection) else {}

    def scan(self, *, with_vectors: bool = False) -> Iterator[StoredPoint]:
        """Every point, ascending by id. The store stays open meanwhile."""
        if self._backend.is_absent():
            return
        with self._operation() as engine:
            if engine.has(self._collection):
                yield from engine.read(self._collection, None, with_vectors=with_vectors)

    def activate(self, *, expected_points: int) -> None:
        """Point the alias to this model's collection and drop the collections of other models.

        Raises ServiceError, and changes nothing, unless exactly `expected_points` are stored.
        """
        with self._writing() as engine:
            stored = engine.count(self._collection)
            if stored != expected_points:
                raise ServiceError(
                    f"{self._collection} holds {stored} points instead of {expected_points}; "
                    f"the alias {self._alias} was not switched.",
                    remedy="run `aegis ingest` until nothing is pending, then again.",
                )
            engine.point_alias(self._alias, self._collection)
            for other in self._backend.collections(self._alias):
                if other != self._collection:
                    engine.drop(other)

    @contextmanager
    def _operation(self) -> Iterator[Engine]:
        """The open engine, for one thread at a time, with its errors translated into ours."""
        with self.opened(), self._guard:
            assert self._engine is not None
            try:
                yield self._engine
            except AegisError:
                raise
            except EngineBusy as error:
                raise self._busy() from error
            except Exception as error:  # an engine raises what it likes, and has no class of its own
                raise self._backend.fault(error) from error

    @contextmanager
    def _writing(self) -> Iterator[Engine]:
        """As `_operation`, but creates this model's collection if needed, and syncs the writes to disk at the end."""
        with self._operation() as engine:
            engine.create(self._collection, self._dimensions)
            if self.active_collection() is None:
                engine.point_alias(self._alias, self._collection)
            yield engine
            engine.sync(self._collection)

    def _open(self) -> None:
        try:
            if not self._turns.take(self._timeout):
                raise self._busy()
        except OSError as error:
            raise self._backend.fault(error) from error
        try:
            self._engine = self._backend.open()
        except BaseException as error:
            self._turns.give_up()
            if isinstance(error, EngineBusy):
                raise self._busy() from error
            if isinstance(error, Exception) and not isinstance(error, AegisError):
                raise self._backend.fault(error) from error
            raise

    def _close_unused(self) -> None:
        if self._users or self._engine is None:
            return
        engine, self._engine = self._engine, None
        try:
            engine.close()
        finally:
            self._turns.give_up()

    def _let_others_in(self, over: Event) -> None:
        """Between two operations, close the store for who waits for it. Every write is on the disk by then."""
        while not over.wait(_LOOK_SECONDS):
            with self._guard, suppress(Exception):
                if self._engine is not None and not self._users and self._turns.is_awaited():
                    self._close_unused()

    def _busy(self) -> StoreBusy:
        return StoreBusy(
            f"Another process has kept the vector store {self._backend.place} for {self._timeout:.0f} s.",
            remedy="wait until it has finished, or raise AEGIS_QDRANT__LOCK_TIMEOUT_SECONDS.",
        )
