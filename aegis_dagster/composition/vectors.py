"""The vector store as the settings choose it, and what remains of another choice until it is replaced."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from aegis_dagster.settings import Settings
from aegis_dagster.settings.keys import qdrant_api_key
from aegis_dagster.stores.vectors.engines import Backend
from aegis_dagster.stores.vectors.points import model_in, physical_name
from aegis_dagster.stores.vectors.qdrant import QdrantStore
from aegis_dagster.stores.vectors.qdrant_client_engine import ClientFolder
from aegis_dagster.stores.vectors.qdrant_edge_engine import EdgeFolder
from aegis_dagster.stores.vectors.turns import Turns

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from aegis_dagster.stores.vectors.qdrant_server_engine import QdrantServer

_ANSWER_SECONDS, _RETRY_SECONDS = 30.0, 2.0  # at most, for who waits: a person, a sensor, a scrape


def backend(settings: Settings, database: Engine | None = None, *, patient: bool = False) -> Backend:
    """Where the chosen engine keeps its collections.

    database: of the home, to write on a server, or to refuse what another home has there. patient: for a run, which
    may wait for a server. Raises ConfigurationError, ServiceError.
    """
    if settings.qdrant.kind == "edge":
        return EdgeFolder(settings.vectors_dir)
    if settings.qdrant.kind == "client":
        return ClientFolder(settings.vectors_dir)
    return _server(settings, database, patient=patient)


def vector_store(
    settings: Settings, model: str, dimensions: int, database: Engine, *, patient: bool = False
) -> QdrantStore:
    """The store of a model's vectors. Raises as `backend`."""
    qdrant = settings.qdrant
    return QdrantStore(
        backend(settings, database, patient=patient),
        alias=qdrant.collection,
        model=model,
        dimensions=dimensions,
        lock_timeout_seconds=qdrant.lock_timeout_seconds,
    )


def active_store(settings: Settings, database: Engine) -> QdrantStore | None:
    """The store that readers use now; None: nothing was ever stored.

    After a change of the model or of the engine it is the previous one until every document is there again.
    """
    for one in (settings, *_with_other_engines(settings)):
        alias = one.qdrant.collection
        active = backend(one, database).alias_target(alias)
        if active is not None:
            # It exists: nothing needs the length of its vectors.
            return vector_store(one, model_in(active, alias), 0, database)
    return None


def has_replaced_engine(settings: Settings, database: Engine) -> bool:
    """Whether another engine still has collections of this home."""
    return any(_remains(one, database) for one in _with_other_engines(settings))


def drop_replaced_engines(settings: Settings, database: Engine) -> None:
    """Delete the collections of other engines, whose points the chosen one holds all."""
    for one in _with_other_engines(settings):
        if not _remains(one, database):
            continue
        if one.qdrant.kind == "server":
            replaced = backend(one, database)
            engine = replaced.open()
            try:
                for collection in replaced.collections(one.qdrant.collection):
                    engine.drop(collection)
            finally:
                engine.close()
        else:
            shutil.rmtree(one.vectors_dir)
            Turns(one.vectors_dir).forget()


def state_of(settings: Settings, model: str, database: Engine) -> str:
    """The server's version, and how it keeps this home's vectors, for people. Raises AegisError."""
    server = _server(settings, database)
    said = server.summary(physical_name(settings.qdrant.collection, model))
    open_key = ", the key travels without TLS" if qdrant_api_key() and server.place.startswith("http:") else ""
    return f"{server.place}, Qdrant {server.version}{open_key}, {settings.qdrant.collection}: {said}"


def _server(settings: Settings, database: Engine | None, *, patient: bool = False) -> QdrantServer:
    from aegis_dagster.stores.home import home_id
    from aegis_dagster.stores.vectors.qdrant_server_engine import QdrantServer
    from aegis_dagster.stores.vectors.server_access import ServerAccess
    from aegis_dagster.stores.vectors.server_collections import Indexing

    qdrant = settings.qdrant
    access = ServerAccess(
        url=(qdrant.url or "").rstrip("/"),
        api_key=qdrant_api_key(),
        ca_file=qdrant.ca_file,
        timeout_seconds=qdrant.timeout_seconds if patient else min(qdrant.timeout_seconds, _ANSWER_SECONDS),
        retry_seconds=qdrant.retry_seconds if patient else min(qdrant.retry_seconds, _RETRY_SECONDS),
    )
    indexing = Indexing(qdrant.hnsw_m, qdrant.hnsw_ef_construct, qdrant.quantization)
    home = "" if database is None else home_id(database)
    return QdrantServer(access, indexing, alias=qdrant.collection, home=home)


def _remains(settings: Settings, database: Engine) -> bool:
    if settings.qdrant.kind == "server":
        return bool(backend(settings, database).collections(settings.qdrant.collection))
    return settings.vectors_dir.is_dir()


def _with_other_engines(settings: Settings) -> Iterator[Settings]:
    """The settings with each engine that is not chosen; a server only where an address is set."""
    for engine in ("edge", "client", "server"):
        if engine != settings.qdrant.kind and (engine != "server" or settings.qdrant.url):
            yield settings.model_copy(update={"qdrant": settings.qdrant.model_copy(update={"engine": engine})})
