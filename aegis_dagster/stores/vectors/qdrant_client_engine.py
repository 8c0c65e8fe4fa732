"""Qdrant's local mode of qdrant-client: every point is loaded into memory when the folder is opened.

Slower than the engine in the process, in everything; it stays for folders that other programs of qdrant-client read.
"""

from __future__ import annotations

import gc
import json
import os
import sqlite3
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis_dagster.domain.identifiers import ChunkId, DocumentId
from aegis_dagster.ports import SearchHit, VectorPoint
from aegis_dagster.stores.vectors.bm25 import SparseTerms, passage_terms
from aegis_dagster.stores.vectors.engine_folder import EngineFolder
from aegis_dagster.stores.vectors.engines import DENSE, PREFETCH, SPARSE, Asked, EngineBusy, StoredPoint, fault
from aegis_dagster.stores.vectors.points import payload_of, to_hit

if TYPE_CHECKING:
    from qdrant_client import QdrantClient, models

COUNT_WAITS_SECONDS = 5.0  # for a writer that is committing
_BATCH = 500
_DOCUMENTS = 1000  # in one filter


class ClientFolder(EngineFolder):
    """Implements engines.Backend."""

    def open(self) -> ClientEngine:
        """As Backend has it: about 0.1 s for 1,000 points."""
        try:
            return ClientEngine(_open_local(self.path))
        except RuntimeError as error:
            if "already accessed" in str(error):
                raise EngineBusy from error
            raise

    def check(self) -> None:
        """As Backend has it."""
        if not os.path.lexists(self.path):
            return
        os.scandir(self.path).close()
        with suppress(FileNotFoundError):  # nothing was written yet
            if not isinstance(json.loads((self.path / "meta.json").read_text("utf-8")), dict):
                raise ValueError("meta.json is no JSON object")
        for file in sorted(self.path.glob("collection/*/storage.sqlite")):
            with closing(_only_to_read(file)) as db:
                (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
                if said != "ok":
                    raise ValueError(f"{file.parent.name}: {said}")

    def alias_target(self, alias: str) -> str | None:
        """As Backend has it."""
        file = self.path / "meta.json"
        try:
            target = json.loads(file.read_text("utf-8"))["aliases"][alias]
        except (OSError, ValueError, KeyError, TypeError):  # no store yet, it is being written, or damaged: see `check`
            return None
        return target if isinstance(target, str) else None

    def count_points(self, collection: str) -> int | None:
        """As Backend has it: it takes no lock and loads no point, even while another process writes."""
        file = self.path / "collection" / collection / "storage.sqlite"
        try:
            file.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise fault(self.path, error) from error
        try:
            with closing(_only_to_read(file)) as db:
                if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'points'").fetchone() is None:
                    return None  # it is being created
                count: int = db.execute("SELECT count(*) FROM points").fetchone()[0]
        except sqlite3.Error as error:
            raise fault(self.path, error) from error
        return count

    def collections(self, alias: str) -> list[str]:
        """As Backend has it."""
        try:
            # Not Path.glob, which treats an unreadable folder as empty.
            with os.scandir(self.path / "collection") as entries:
                return sorted(entry.name for entry in entries if entry.name.startswith(f"{alias}__"))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise fault(self.path, error) from error


class ClientEngine:
    """Implements engines.Engine."""

    READ_BATCH = 5000  # local mode sorts all ids for every page

    def __init__(self, client: QdrantClient) -> None:
        self._client = client

    def has(self, collection: str) -> bool:
        """As Engine has it."""
        return self._client.collection_exists(collection)

    def create(self, collection: str, dimensions: int) -> None:
        """As Engine has it."""
        from qdrant_client import models

        if not self.has(collection):
            self._client.create_collection(
                collection,
                vectors_config={DENSE: models.VectorParams(size=dimensions, distance=models.Distance.COSINE)},
                sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            )
        _sync_at_checkpoints(self._client, collection)

    def upsert(self, collection: str, points: Sequence[VectorPoint], model: str) -> None:
        """As Engine has it."""
        for start in range(0, len(points), _BATCH):
            batch = [point_struct(point, model) for point in points[start : start + _BATCH]]
            self._client.upsert(collection, batch, wait=True)

    def delete(self, collection: str, ids: Sequence[ChunkId]) -> None:
        """As Engine has it."""
        for start in range(0, len(ids), _BATCH):
            self._client.delete(collection, points_selector=list(ids[start : start + _BATCH]), wait=True)

    def delete_documents(self, collection: str, document_ids: Sequence[DocumentId]) -> None:
        """As Engine has it."""
        for start in range(0, len(document_ids), _DOCUMENTS):
            gone = _of_documents(document_ids[start : start + _DOCUMENTS])
            self._client.delete(collection, points_selector=gone, wait=True)

    def read(
        self,
        collection: str,
        document_ids: Sequence[DocumentId] | None,
        *,
        with_vectors: bool = False,
        fields: Sequence[str] | None = None,
    ) -> Iterator[StoredPoint]:
        """As Engine has it."""
        import numpy as np

        only = None if document_ids is None else _of_documents(document_ids)
        offset: Any = None
        while True:
            records, offset = self._client.scroll(
                collection,
                scroll_filter=only,
                limit=self.READ_BATCH,
                offset=offset,
                with_payload=True if fields is None else list(fields),
                with_vectors=[DENSE] if with_vectors else False,
            )
            for record in records:
                vector = record.vector[DENSE] if isinstance(record.vector, dict) else None
                dense = None if vector is None else np.asarray(vector, dtype=np.float32)
                yield StoredPoint(ChunkId(str(record.id)), record.payload or {}, dense)
            if offset is None:
                return

    def search(self, collection: str, asked: Asked, *, limit: int, only: str | None) -> list[SearchHit]:
        """As Engine has it."""
        from qdrant_client import models

        within = None
        if only is not None:
            match = models.MatchValue(value=only)
            within = models.Filter(must=[models.FieldCondition(key="collection", match=match)])
        halves: list[tuple[Any, str]] = []
        if asked.vector is not None:
            halves.append((asked.vector, DENSE))
        if asked.terms is not None:
            halves.append((_sparse(asked.terms), SPARSE))
        if len(halves) == 1:
            ((query, using),) = halves
            found = self._client.query_points(
                collection, query, using, query_filter=within, limit=limit, search_params=self.search_params()
            )
        else:
            prefetch = [
                models.Prefetch(query=query, using=using, filter=within, limit=PREFETCH, params=self.search_params())
                for query, using in halves
            ]
            fusion = models.FusionQuery(fusion=models.Fusion.DBSF)
            found = self._client.query_points(collection, fusion, prefetch=prefetch, limit=limit)
        return [to_hit(point.payload or {}, point.score) for point in found.points]

    def search_params(self) -> models.SearchParams | None:
        """How each half of a search is carried out; None: as the collection says."""
        return None

    def count(self, collection: str) -> int:
        """As Engine has it."""
        return self._client.count(collection, exact=True).count

    def count_by_document(self, collection: str) -> dict[DocumentId, int]:
        """As Engine has it."""
        points = self.read(collection, None, fields=["document"])
        return dict(Counter(DocumentId(point.payload["document"]) for point in points))

    def sync(self, collection: str) -> None:
        """As Engine has it: without it a power failure could lose the last points, though nothing else."""
        connection = _connection(self._client, collection)
        if connection is not None:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def point_alias(self, alias: str, collection: str) -> None:
        """As Engine has it."""
        from qdrant_client import models

        create = models.CreateAlias(collection_name=collection, alias_name=alias)
        delete = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
        known = alias in {one.alias_name for one in self._client.get_aliases().aliases}
        self._client.update_collection_aliases(
            [*([delete] if known else []), models.CreateAliasOperation(create_alias=create)]
        )

    def drop(self, collection: str) -> None:
        """As Engine has it."""
        self._client.delete_collection(collection)

    def close(self) -> None:
        """As Engine has it."""
        self._client.close()


def _open_local(path: Path) -> QdrantClient:
    """The client on a local folder.

    Python's cycle collector is disabled meanwhile: importing the client and loading a store create some hundred
    thousand objects that stay alive, and scanning them repeatedly takes a fifth of the time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        from qdrant_client import QdrantClient

        # Beyond 20,000 points; `aegis doctor` says when a server is due.
        warnings.filterwarnings("ignore", message="Local mode is not recommended")
        return QdrantClient(path=str(path))
    finally:
        if collecting:
            gc.enable()


def _only_to_read(file: Path) -> sqlite3.Connection:
    """A connection that does not create the file again if it has just disappeared."""
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=COUNT_WAITS_SECONDS)


def _sync_at_checkpoints(client: QdrantClient, collection: str) -> None:
    """Let a collection sync the disk at checkpoints instead of at every point.

    Local mode commits each point separately, in SQLite's default mode with two to three disk syncs: on a busy
    machine 15,000 points take 68 s with one sync each, and 20 s with syncs at checkpoints.
    """
    connection = _connection(client, collection)
    if connection is not None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")


def _connection(client: QdrantClient, collection: str) -> sqlite3.Connection | None:
    """The private connection of a collection: the client has no public setting for how it syncs."""
    from qdrant_client.local.qdrant_local import QdrantLocal

    assert isinstance(client._client, QdrantLocal)
    storage = client._client.collections[collection].storage
    return storage.storage if storage is not None else None


def point_struct(point: VectorPoint, model: str) -> models.PointStruct:
    """A point as the client takes it."""
    from qdrant_client import models

    vectors: Any = {DENSE: point.vector.tolist(), SPARSE: _sparse(passage_terms(point.located.chunk.embedded_text))}
    return models.PointStruct(id=point.located.id, vector=vectors, payload=payload_of(point, model))


def _of_documents(document_ids: Sequence[DocumentId]) -> models.Filter:
    from qdrant_client import models

    any_of = models.MatchAny(any=[str(document_id) for document_id in document_ids])
    return models.Filter(must=[models.FieldCondition(key="document", match=any_of)])


def _sparse(terms: SparseTerms) -> models.SparseVector:
    from qdrant_client import models

    return models.SparseVector(indices=list(terms.indices), values=list(terms.values))
