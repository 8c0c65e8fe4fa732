"""The vector store as the settings choose it, and what remains of another choice until it is replaced."""

import shutil

from aegis_dagster.settings import Settings
from aegis_dagster.stores.vectors.engines import EngineFolder
from aegis_dagster.stores.vectors.points import model_in
from aegis_dagster.stores.vectors.qdrant import QdrantStore
from aegis_dagster.stores.vectors.qdrant_client_engine import ClientFolder
from aegis_dagster.stores.vectors.qdrant_edge_engine import EdgeFolder
from aegis_dagster.stores.vectors.turns import Turns


def vectors_folder(settings: Settings) -> EngineFolder:
    """The folder of the chosen engine."""
    return EdgeFolder(settings.vectors_dir) if settings.qdrant.engine == "edge" else ClientFolder(settings.vectors_dir)


def vector_store(settings: Settings, model: str, dimensions: int) -> QdrantStore:
    """The store of a model's vectors."""
    qdrant = settings.qdrant
    return QdrantStore(
        vectors_folder(settings),
        alias=qdrant.collection,
        model=model,
        dimensions=dimensions,
        lock_timeout_seconds=qdrant.lock_timeout_seconds,
    )


def active_store(settings: Settings) -> QdrantStore | None:
    """The store that readers use now; None: nothing was ever stored.

    After a change of the model or of the engine it is the previous one until every document is there again.
    """
    for one in (settings, _with_other_engine(settings)):
        alias = one.qdrant.collection
        active = vectors_folder(one).alias_target(alias)
        if active is not None:
            return vector_store(one, model_in(active, alias), 0)  # it exists: nothing needs the length of its vectors
    return None


def has_replaced_engine(settings: Settings) -> bool:
    """Whether the folder of another engine is still there."""
    return _with_other_engine(settings).vectors_dir.is_dir()


def drop_replaced_engine(settings: Settings) -> None:
    """Delete the folder of the other engine, whose points the chosen one holds all."""
    folder = _with_other_engine(settings).vectors_dir
    shutil.rmtree(folder)
    Turns(folder).forget()


def _with_other_engine(settings: Settings) -> Settings:
    other = "client" if settings.qdrant.engine == "edge" else "edge"
    return settings.model_copy(update={"qdrant": settings.qdrant.model_copy(update={"engine": other})})
