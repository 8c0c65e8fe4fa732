"""A Qdrant server, over its REST interface. Several homes and other programs may share it.

Each collection of ours carries a mark: the home that made it and its alias. Nothing without the own mark is written,
deleted or led to by the alias. Processes need no lock: documents are claimed in the catalog, and aliases are switched
by the server in one step.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.errors import AegisError, ConfigurationError
from aegis_dagster.ports import VectorPoint
from aegis_dagster.stores.vectors.engines import DENSE, SPARSE
from aegis_dagster.stores.vectors.qdrant_client_engine import ClientEngine, point_struct
from aegis_dagster.stores.vectors.server_access import ServerAccess, connect
from aegis_dagster.stores.vectors.server_collections import (
    Indexing,
    changes_needed,
    foreign,
    mark_of,
    new_collection,
    require_length,
    state,
)
from aegis_dagster.stores.vectors.server_faults import is_missing, is_too_large, no_qdrant, told

if TYPE_CHECKING:
    from qdrant_client import QdrantClient, models

OLDEST = (1, 16)  # the first version that keeps a mark of a collection
INDEXED = ("document", "collection")  # payload fields that are searched by
_MOST_POINTS = 500  # in one request
_MOST_BYTES = 8 * 2**20  # of one request, about: a server accepts 32 MiB
_BYTES_OF_NUMBER = 22  # of a vector, as JSON


class QdrantServer:
    """Implements engines.Backend."""

    def __init__(self, access: ServerAccess, indexing: Indexing, *, alias: str, home: str) -> None:
        """home: id of the home; "": nothing is written, and what another home has under the alias is read, too."""
        self._access, self._indexing = access, indexing
        self._mark = {"alias": alias, "home": home}
        self.path = None
        self.place = access.url
        self.version = ""  # of the server, once it was asked

    def open(self) -> ServerEngine:
        """As Backend has it. Raises AegisError when the server does not answer, or is none or too old."""
        self._require_qdrant()
        return ServerEngine(self._client, self._indexing, self._mark)

    def fault(self, error: Exception) -> AegisError:
        """As Backend has it."""
        return told(error, self._access)

    def check(self) -> None:
        """As Backend has it: whether the server answers and accepts the key."""
        self.alias_target("")

    def is_absent(self) -> bool:
        """As Backend has it: a server is there, even if no collection is."""
        return False

    def has(self, collection: str) -> bool:
        """As Backend has it."""
        with self._engine() as engine:
            return engine.has(collection)

    def alias_target(self, alias: str) -> str | None:
        """As Backend has it."""
        with self._engine() as engine:
            return engine.alias_target(alias)

    def collections(self, alias: str) -> list[str]:
        """As Backend has it."""
        with self._engine() as engine:
            return engine.collections(alias)

    def count_points(self, collection: str) -> int | None:
        """As Backend has it."""
        with self._engine() as engine:
            return engine.count(collection) if engine.has(collection) else None

    def summary(self, collection: str) -> str:
        """What `aegis doctor` says about a collection: how it is indexed, and what the next run will change."""
        with self._engine() as engine:
            return engine.summary(collection)

    @cached_property
    def _client(self) -> QdrantClient:
        """Made once, which takes longer than a request; it closes connections that are idle by itself."""
        return connect(self._access)

    @contextmanager
    def _engine(self) -> Iterator[ServerEngine]:
        try:
            yield self.open()
        except AegisError:
            raise
        except Exception as error:  # the client raises what it likes
            raise told(error, self._access) from error

    def _require_qdrant(self) -> None:
        """Raises ConfigurationError."""
        if self.version:
            return
        try:
            found = self._client.info()
        except Exception as error:
            raise told(error, self._access) from error
        if "qdrant" not in found.title.lower():
            raise no_qdrant(self._access, found.title)
        numbers = tuple(int(part) for part in found.version.split("-")[0].split(".")[:2] if part.isdecimal())
        if numbers < OLDEST:
            raise ConfigurationError(
                f"The Qdrant server {self._access.url} is version {found.version}; at least "
                f"{'.'.join(map(str, OLDEST))} is needed.",
                remedy="upgrade the server, one minor version after the other.",
            )
        self.version = found.version


class ServerEngine(ClientEngine):
    """Implements engines.Engine."""

    READ_BATCH = 1000

    def __init__(self, client: QdrantClient, indexing: Indexing, mark: dict[str, str]) -> None:
        """mark: of the collections that are this home's."""
        super().__init__(client)
        self._indexing, self._mark = indexing, mark
        self._most_bytes = _MOST_BYTES
        self._adapted: set[str] = set()  # collections that are as the settings say

    def alias_target(self, alias: str) -> str | None:
        """As Backend has it. Raises ConfigurationError when the alias is another home's or program's."""
        targets = {one.alias_name: one.collection_name for one in self._client.get_aliases().aliases}
        target = targets.get(alias)
        if target is not None and not target.startswith(f"{alias}__"):
            raise foreign(f"an alias {alias} that leads to {target}")
        if target is not None:
            self.has(target)
        return target

    def collections(self, alias: str) -> list[str]:
        """As Backend has it: `a__b__model` may belong to the alias `a__b`, so the marks decide."""
        names = [name for name in self._names() if name.startswith(f"{alias}__")]
        marks = {name: mark_of(found) for name in names if (found := self._found(name)) is not None}
        behind = sorted(name for name, mark in marks.items() if mark.get("alias") == alias)
        for name in behind:
            self._require_own(name, marks[name])
        return behind

    def has(self, collection: str) -> bool:
        """As Engine has it. Raises ConfigurationError when it is another home's or program's."""
        found = self._found(collection)
        if found is not None:
            self._require_own(collection, mark_of(found))
        return found is not None

    def create(self, collection: str, dimensions: int) -> None:
        """As Engine has it. One that is there is brought to what the settings say.

        Raises ConfigurationError when it is another home's or program's, or holds vectors of another length.
        """
        from qdrant_client import models
        from qdrant_client.http.exceptions import UnexpectedResponse

        if collection in self._adapted:
            return
        found = self._found(collection)
        if found is None:
            self.alias_target(self._mark["alias"])
            try:
                self._client.create_collection(collection, **new_collection(self._indexing, self._mark, dimensions))
            except UnexpectedResponse as error:  # another process was first, or the answer to a first try was lost
                if error.status_code != 409:
                    raise
            found = self._client.get_collection(collection)
        self._require_own(collection, mark_of(found))
        require_length(collection, found, dimensions)
        if wrong := changes_needed(self._indexing, found):
            self._client.update_collection(collection, **wrong)
        for field in INDEXED:
            if field not in found.payload_schema:
                self._client.create_payload_index(collection, field, field_schema=models.PayloadSchemaType.KEYWORD)
        self._adapted.add(collection)

    def upsert(self, collection: str, points: Sequence[VectorPoint], model: str) -> None:
        """As Engine has it, in requests of limited bytes."""
        for batch in self._batches(points, model):
            self._put(collection, batch)

    def count_by_document(self, collection: str) -> dict[DocumentId, int]:
        """As Engine has it, from the index of the field."""
        most = max(1, self.count(collection))
        hits = self._client.facet(collection, key="document", limit=most, exact=True).hits
        return {DocumentId(str(hit.value)): hit.count for hit in hits if hit.count}  # 0: all of it was deleted

    def sync(self, collection: str) -> None:
        """As Engine has it: each write was answered when the server's log had it."""

    def point_alias(self, alias: str, collection: str) -> None:
        """As Engine has it."""
        self.alias_target(alias)
        if alias in self._names():
            raise foreign(f"a collection of the name {alias}")
        super().point_alias(alias, collection)

    def drop(self, collection: str) -> None:
        """As Engine has it."""
        if self.has(collection):
            self._client.delete_collection(collection)
        self._adapted.discard(collection)

    def summary(self, collection: str) -> str:
        """See `QdrantServer.summary`."""
        found = self._found(collection)
        if found is None:
            return "nothing yet"
        self._require_own(collection, mark_of(found))
        points = self.count(collection)
        said = [f"{points} points", *state(found)]
        if wrong := changes_needed(self._indexing, found):
            said.append(f"the next run that writes changes its {' and '.join(sorted(wrong))} to what the settings say")
        return ", ".join(said)

    def close(self) -> None:
        """As Engine has it: the client belongs to the server."""

    def search_params(self) -> models.SearchParams | None:
        """Compares the best of the compressed vectors again by the original ones."""
        from qdrant_client import models

        if self._indexing.quantization == "none":
            return None
        again = models.QuantizationSearchParams(rescore=True, oversampling=2.0)
        return models.SearchParams(quantization=again)

    def _batches(self, points: Sequence[VectorPoint], model: str) -> Iterator[list[models.PointStruct]]:
        batch: list[models.PointStruct] = []
        size = 0
        for point in points:
            made = point_struct(point, model)
            added = _bytes_of(made)
            if batch and (size + added > self._most_bytes or len(batch) == _MOST_POINTS):
                yield batch
                batch, size = [], 0
            batch.append(made)
            size += added
        if batch:
            yield batch

    def _put(self, collection: str, batch: list[models.PointStruct]) -> None:
        """Write points. If the server or a proxy refuses so many bytes, in halves, and less from then on."""
        try:
            self._client.upsert(collection, batch, wait=True)
        except Exception as error:
            if not is_too_large(error) or len(batch) == 1:
                raise
            self._most_bytes = min(self._most_bytes, sum(map(_bytes_of, batch)) // 2)
            half = len(batch) // 2
            self._put(collection, batch[:half])
            self._put(collection, batch[half:])

    def _found(self, collection: str) -> models.CollectionInfo | None:
        try:
            return self._client.get_collection(collection)
        except Exception as error:
            if is_missing(error):
                return None
            raise

    def _names(self) -> set[str]:
        return {one.name for one in self._client.get_collections().collections}

    def _require_own(self, collection: str, mark: dict[str, str]) -> None:
        """Raises ConfigurationError."""
        if self._mark["home"] and mark != self._mark:
            raise foreign(f"a collection {collection} that this home did not make")


def _bytes_of(point: models.PointStruct) -> int:
    """About the length of a point as JSON, and not less."""
    vectors: Any = point.vector
    numbers = len(vectors[DENSE]) + 2 * len(vectors[SPARSE].indices)
    return _BYTES_OF_NUMBER * numbers + len(json.dumps(point.payload))
