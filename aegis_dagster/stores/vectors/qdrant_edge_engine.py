"""Qdrant's engine in this process (`qdrant-edge-py`): a shard for each collection, and a file of aliases of ours.

A folder holds `aliases.json` and, below `collection/NAME/`, the shard and `points.json`: the number of points after
the last write, for readers that must not open it. The engine keeps a log of its writes: after a kill it holds every
write that had returned. It never builds an HNSW index: comparing all of 200,000 vectors takes 0.1 s, and building one
takes minutes (docs/performance.md).
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis_dagster.domain.identifiers import ChunkId, DocumentId
from aegis_dagster.ports import SearchHit, VectorPoint
from aegis_dagster.stores.vectors.bm25 import passage_terms
from aegis_dagster.stores.vectors.engine_folder import EngineFolder
from aegis_dagster.stores.vectors.engines import DENSE, PREFETCH, SPARSE, Asked, EngineBusy, StoredPoint, fault
from aegis_dagster.stores.vectors.points import payload_of, to_hit

if TYPE_CHECKING:
    import qdrant_edge as edge

_ALIASES = "aliases.json"
_COUNT = "points.json"
_SHARD = "shard"
_UNFINISHED = ".unfinished"
_BATCH = 500
_READ_BATCH = 5000
_INDEXED = ("document", "collection")  # payload fields that are searched by
# A write to a full disk ends the process (the engine maps its files into memory), so it is refused before: two files
# of the log and a page of each storage have 32 MiB each.
_LEAST_FREE_BYTES = 256 * 2**20
_NEVER = 10**9  # kilobytes of vectors from which an index is built
_VACUUM_SHARE, _VACUUM_POINTS = 0.2, 1000  # Qdrant's defaults for rewriting a segment with many deleted points


class EdgeFolder(EngineFolder):
    """Implements engines.Backend."""

    def __init__(self, path: Path, *, least_free_bytes: int = _LEAST_FREE_BYTES) -> None:
        """path: the folder, created by the first write. least_free_bytes: of its disk, to write anything."""
        super().__init__(path)
        self.least_free_bytes = least_free_bytes

    def open(self) -> EdgeEngine:
        """As Backend has it. Shards are opened when they are used."""
        self.path.mkdir(parents=True, exist_ok=True)
        return EdgeEngine(self)

    def check(self) -> None:
        """As Backend has it."""
        if not os.path.lexists(self.path):
            return
        os.scandir(self.path).close()
        self.aliases()
        for file in self.path.glob(f"collection/*/{_SHARD}/**/*.json"):  # without them nothing can be opened
            json.loads(file.read_text("utf-8"))

    def aliases(self) -> dict[str, str]:
        """Every alias and its collection. Raises OSError, ValueError."""
        try:
            aliases = json.loads((self.path / _ALIASES).read_text("utf-8"))
        except FileNotFoundError:
            return {}
        if not isinstance(aliases, dict) or not all(isinstance(name, str) for name in aliases.values()):
            raise ValueError(f"{_ALIASES} is no table of names")
        return aliases

    def alias_target(self, alias: str) -> str | None:
        """As Backend has it; None also for a damaged file: see `check`."""
        try:
            return self.aliases().get(alias)
        except (OSError, ValueError):
            return None

    def collections(self, alias: str) -> list[str]:
        """As Backend has it."""
        try:
            # Not Path.glob, which treats an unreadable folder as empty.
            with os.scandir(self.path / "collection") as entries:
                names = [entry.name for entry in entries if entry.name.startswith(f"{alias}__")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise fault(self.path, error) from error
        return sorted(name for name in names if not name.endswith(_UNFINISHED))

    def count_points(self, collection: str) -> int | None:
        """As Backend has it: from a file, which the writer replaces."""
        try:
            count = json.loads((self.folder_of(collection) / _COUNT).read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise fault(self.path, error) from error
        return int(count)

    def folder_of(self, collection: str) -> Path:
        """Where a collection is."""
        return self.path / "collection" / collection


class EdgeEngine:
    """Implements engines.Engine."""

    def __init__(self, folder: EdgeFolder) -> None:
        folder.aliases()  # an error, if it is damaged
        self._folder = folder
        self._shards: dict[str, edge.EdgeShard] = {}

    def has(self, collection: str) -> bool:
        """As Engine has it."""
        return collection in self._shards or self._folder.folder_of(collection).is_dir()

    def create(self, collection: str, dimensions: int) -> None:
        """As Engine has it: beside its place, and moved there when it is whole."""
        if self.has(collection):
            return
        import qdrant_edge as edge

        self._require_room()
        place = self._folder.folder_of(collection)
        unfinished = place.with_name(place.name + _UNFINISHED)
        shutil.rmtree(unfinished, ignore_errors=True)
        (unfinished / _SHARD).mkdir(parents=True)
        shard = edge.EdgeShard.create(str(unfinished / _SHARD), _config(dimensions))
        for field in _INDEXED:
            shard.update(edge.UpdateOperation.create_field_index(field, edge.PayloadSchemaType.Keyword))
        shard.flush()
        shard.close()
        (unfinished / _COUNT).write_text("0", "utf-8")
        unfinished.rename(place)

    def upsert(self, collection: str, points: Sequence[VectorPoint], model: str) -> None:
        """As Engine has it."""
        import qdrant_edge as edge

        for start in range(0, len(points), _BATCH):
            self._require_room()
            batch = [_to_point(point, model) for point in points[start : start + _BATCH]]
            self._shard(collection).update(edge.UpdateOperation.upsert_points(batch))

    def delete(self, collection: str, ids: Sequence[ChunkId]) -> None:
        """As Engine has it."""
        import qdrant_edge as edge

        for start in range(0, len(ids), _BATCH):
            self._require_room()
            batch: list[Any] = list(ids[start : start + _BATCH])
            self._shard(collection).update(edge.UpdateOperation.delete_points(batch))

    def delete_documents(self, collection: str, document_ids: Sequence[DocumentId]) -> None:
        """As Engine has it."""
        import qdrant_edge as edge

        self._require_room()
        self._shard(collection).update(edge.UpdateOperation.delete_points_by_filter(_of_documents(document_ids)))

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
        import qdrant_edge as edge

        offset: Any = None
        while True:
            records, offset = self._shard(collection).scroll(
                edge.ScrollRequest(
                    offset=offset,
                    limit=_READ_BATCH,
                    filter=None if document_ids is None else _of_documents(document_ids),
                    with_payload=True if fields is None else list(fields),
                    with_vector=[DENSE] if with_vectors else False,
                )
            )
            for record in records:
                vector: Any = record.vector
                dense = np.asarray(vector[DENSE], dtype=np.float32) if with_vectors else None
                yield StoredPoint(ChunkId(str(record.id)), record.payload or {}, dense)
            if offset is None:
                return

    def search(self, collection: str, asked: Asked, *, limit: int, only: str | None) -> list[SearchHit]:
        """As Engine has it."""
        import qdrant_edge as edge

        halves = []
        if asked.vector is not None:
            halves.append(edge.Query.Nearest(asked.vector, using=DENSE))
        if asked.terms is not None:
            terms = edge.SparseVector(list(asked.terms.indices), list(asked.terms.values))
            halves.append(edge.Query.Nearest(terms, using=SPARSE))
        within = None if only is None else edge.Filter(must=[_equal("collection", edge.MatchValue(only))])
        fusion: Any = edge.Fusion.Dbsf()  # its type stubs do not say that it is a Fusion
        request = (
            edge.QueryRequest(limit=limit, query=halves[0], filter=within, with_payload=True)
            if len(halves) == 1
            else edge.QueryRequest(
                limit=limit,
                query=fusion,
                prefetches=[edge.Prefetch(query=half, limit=PREFETCH, filter=within) for half in halves],
                with_payload=True,
            )
        )
        return [to_hit(point.payload or {}, point.score) for point in self._shard(collection).query(request)]

    def count(self, collection: str) -> int:
        """As Engine has it."""
        import qdrant_edge as edge

        return self._shard(collection).count(edge.CountRequest(exact=True))

    def count_by_document(self, collection: str) -> dict[DocumentId, int]:
        """As Engine has it, from the index of the field."""
        import qdrant_edge as edge

        request = edge.FacetRequest(key="document", limit=max(1, self.count(collection)), exact=True)
        hits = self._shard(collection).facet(request).hits
        return {DocumentId(str(hit.value)): hit.count for hit in hits if hit.count}  # 0: all of it was deleted

    def sync(self, collection: str) -> None:
        """As Engine has it. Rewrites what holds many deleted points, and tells others the number of points."""
        shard = self._shard(collection)
        shard.optimize()
        shard.flush()
        self._tell_count(collection)

    def point_alias(self, alias: str, collection: str) -> None:
        """As Engine has it."""
        _replace(self._folder.path / _ALIASES, self._folder.aliases() | {alias: collection})

    def drop(self, collection: str) -> None:
        """As Engine has it."""
        if (shard := self._shards.pop(collection, None)) is not None:
            shard.close()
        place = self._folder.folder_of(collection)
        gone = place.with_name(place.name + _UNFINISHED)  # in one step for readers, whatever happens meanwhile
        shutil.rmtree(gone, ignore_errors=True)
        place.rename(gone)
        shutil.rmtree(gone)

    def close(self) -> None:
        """As Engine has it. glibc keeps what a shard freed, and more of it at each opening, until it is asked."""
        shards, self._shards = self._shards, {}
        for shard in shards.values():
            shard.close()
        if shards and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
            libc.malloc_trim(0)

    def _shard(self, collection: str) -> edge.EdgeShard:
        if collection not in self._shards:
            import qdrant_edge as edge

            try:
                shard = edge.EdgeShard.load(str(self._folder.folder_of(collection) / _SHARD))
            except Exception as error:
                if "WouldBlock" in str(error):  # its log is locked by a process that does not take our lock
                    raise EngineBusy from error
                raise
            self._shards[collection] = shard
            if self._folder.count_points(collection) != self.count(collection):  # the last writer was killed
                self._tell_count(collection)
        return self._shards[collection]

    def _tell_count(self, collection: str) -> None:
        _replace(self._folder.folder_of(collection) / _COUNT, self.count(collection))

    def _require_room(self) -> None:
        """Raises ServiceError."""
        if shutil.disk_usage(self._folder.path).free < self._folder.least_free_bytes:
            raise fault(self._folder.path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def _config(dimensions: int) -> edge.EdgeConfig:
    import qdrant_edge as edge

    return edge.EdgeConfig(
        vectors={DENSE: edge.EdgeVectorParams(size=dimensions, distance=edge.Distance.Cosine)},
        sparse_vectors={SPARSE: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        optimizers=edge.EdgeOptimizersConfig(
            indexing_threshold=_NEVER, deleted_threshold=_VACUUM_SHARE, vacuum_min_vector_number=_VACUUM_POINTS
        ),
    )


def _to_point(point: VectorPoint, model: str) -> edge.Point:
    import qdrant_edge as edge

    terms = passage_terms(point.located.chunk.embedded_text)
    sparse = edge.SparseVector(list(terms.indices), list(terms.values))
    vectors: Any = {DENSE: point.vector.tolist(), SPARSE: sparse}
    return edge.Point(id=point.located.id, vector=vectors, payload=payload_of(point, model))


def _of_documents(document_ids: Sequence[DocumentId]) -> edge.Filter:
    import qdrant_edge as edge

    return edge.Filter(must=[_equal("document", edge.MatchAny([str(one) for one in document_ids]))])


def _equal(field: str, match: Any) -> edge.FieldCondition:
    import qdrant_edge as edge

    return edge.FieldCondition(key=field, match=match)


def _replace(file: Path, value: Any) -> None:
    """Write a JSON file in one step."""
    new = file.with_name(f"{file.name}.new")
    with new.open("w", encoding="utf-8") as writing:
        json.dump(value, writing)
        writing.flush()
        os.fsync(writing.fileno())
    new.replace(file)
