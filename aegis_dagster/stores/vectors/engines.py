"""What the vector store needs of an engine that keeps points, in a folder or on a server."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from aegis_dagster.domain.identifiers import ChunkId, DocumentId
from aegis_dagster.errors import AegisError, ServiceError
from aegis_dagster.ports import SearchHit, VectorPoint, Vectors
from aegis_dagster.stores.faults import Place, service_error
from aegis_dagster.stores.vectors.bm25 import SparseTerms

DENSE = "dense"
SPARSE = "bm25"

# Candidates that each of the two searches hands to the fusion. Scores are fused by their distribution (DBSF):
# on 65 questions over 230 PEPs (9,263 passages) it found the right PEP first in 71 %, against at most 69 % by
# reciprocal ranks (45 settings) and 58 % by either search alone. 200 candidates answer one question more at rank 1
# there and one less in the first five, and do worse on corpora of a few hundred passages.
PREFETCH = 50


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """One point as the store holds it."""

    id: ChunkId
    payload: dict[str, Any]
    vector: Vectors | None  # shape (dimensions,); None if not requested


@dataclass(frozen=True, slots=True)
class Asked:
    """What to search for: by meaning, by words, or by both, fused. At least one is there."""

    vector: list[float] | None
    terms: SparseTerms | None


class Engine(Protocol):
    """An open folder of collections, or a connection to a server that has them. One thread at a time."""

    def create(self, collection: str, dimensions: int) -> None:
        """Create a collection with one dense vector (cosine) and one sparse vector with IDF, unless it is there."""
        ...

    def has(self, collection: str) -> bool:
        """Whether a collection is there."""
        ...

    def upsert(self, collection: str, points: Sequence[VectorPoint], model: str) -> None:
        """Write points, of any number."""
        ...

    def delete(self, collection: str, ids: Sequence[ChunkId]) -> None:
        """Delete points, of any number."""
        ...

    def delete_documents(self, collection: str, document_ids: Sequence[DocumentId]) -> None:
        """Delete every point of these documents."""
        ...

    def read(
        self,
        collection: str,
        document_ids: Sequence[DocumentId] | None,
        *,
        with_vectors: bool = False,
        fields: Sequence[str] | None = None,
    ) -> Iterator[StoredPoint]:
        """The points of these documents (None: of all), ascending by id. fields: of the payload; None: all."""
        ...

    def search(self, collection: str, asked: Asked, *, limit: int, only: str | None) -> list[SearchHit]:
        """Best first. only: of this folder of the watched root."""
        ...

    def count(self, collection: str) -> int:
        """The number of points."""
        ...

    def count_by_document(self, collection: str) -> dict[DocumentId, int]:
        """The number of points of each document that has any."""
        ...

    def sync(self, collection: str) -> None:
        """Make the writes safe against a power failure."""
        ...

    def point_alias(self, alias: str, collection: str) -> None:
        """Let an alias lead to a collection, in one step."""
        ...

    def drop(self, collection: str) -> None:
        """Delete a collection."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Backend(Protocol):
    """Where collections are, as it is seen without keeping it open: a folder, or a server.

    What it raises itself, and what its engine raises, `fault` makes an AegisError of.
    """

    @property
    def path(self) -> Path | None:
        """A folder, which admits one process at a time; None: a server, which admits many."""
        ...

    @property
    def place(self) -> str:
        """For people: the folder, or the server's address."""
        ...

    def open(self) -> Engine:
        """Open the folder, which is created if it is missing, or connect to the server. Raises EngineBusy."""
        ...

    def fault(self, error: Exception) -> AegisError:
        """What is wrong and what helps."""
        ...

    def check(self) -> None:
        """Raises an error if a store is there and cannot be used, as far as is seen quickly."""
        ...

    def is_absent(self) -> bool:
        """Whether nothing is there, so that nothing needs to be opened. Something in the place of a folder is there."""
        ...

    def has(self, collection: str) -> bool:
        """Whether a collection is there."""
        ...

    def alias_target(self, alias: str) -> str | None:
        """The collection that an alias leads to; None: there is no such alias."""
        ...

    def collections(self, alias: str) -> list[str]:
        """The names of each model's collection behind an alias. Raises ServiceError when it cannot be read."""
        ...

    def count_points(self, collection: str) -> int | None:
        """The points of a collection after its last write; None: there is no such collection. Raises ServiceError."""
        ...


_OS_ERROR = re.compile(r"\(os error (\d+)\)")


class EngineBusy(Exception):
    """Another process has the folder open."""


def points_by_collection(backend: Backend, alias: str) -> dict[str, int]:
    """The number of points of each model's collection behind an alias, by its name. Raises ServiceError.

    There is the active collection, and during a change of the model also the one being filled.
    """
    counts = {name: backend.count_points(name) for name in backend.collections(alias)}
    return {name: points for name, points in counts.items() if points is not None}


def fault(path: Path, error: Exception) -> ServiceError:
    """What is wrong with a store and what helps. Errors of neither disk nor SQLite mean contents that do not fit."""
    rebuild = f"delete the folder {path} and run `aegis ingest`: it is made again from the cache, without paid calls."
    place = Place(f"The vector store {path}", path, rebuild)
    if not isinstance(error, OSError) and (said := _OS_ERROR.search(str(error))):  # as Rust prints it
        error = OSError(int(said[1]), os.strerror(int(said[1])))
    told = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return service_error(error, place) or ServiceError(f"{place.what} is damaged: {told}.", remedy=rebuild)
