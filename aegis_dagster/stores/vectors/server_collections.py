"""A collection on a Qdrant server: what it is made of, whose it is, and what the server says of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aegis_dagster.errors import ConfigurationError
from aegis_dagster.stores.vectors.engines import DENSE, SPARSE

if TYPE_CHECKING:
    from qdrant_client import models

_MARK = "aegis"  # key of a collection's metadata


@dataclass(frozen=True, slots=True)
class Indexing:
    """How the server keeps and searches vectors."""

    m: int  # HNSW: edges of a node
    ef_construct: int  # HNSW: neighbours considered when the index is built
    quantization: str  # "none", "scalar" or "binary"


def new_collection(indexing: Indexing, mark: dict[str, str], dimensions: int) -> dict[str, Any]:
    """What a new collection is made of."""
    from qdrant_client import models

    return {
        "vectors_config": {DENSE: models.VectorParams(size=dimensions, distance=models.Distance.COSINE)},
        "sparse_vectors_config": {SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        "hnsw_config": models.HnswConfigDiff(m=indexing.m, ef_construct=indexing.ef_construct),
        "quantization_config": _quantization(indexing.quantization),
        "metadata": {_MARK: mark},
    }


def changes_needed(indexing: Indexing, found: models.CollectionInfo) -> dict[str, Any]:
    """What to change in a collection, so that it is as the settings say."""
    from qdrant_client import models

    wrong: dict[str, Any] = {}
    hnsw = found.config.hnsw_config
    if (hnsw.m, hnsw.ef_construct) != (indexing.m, indexing.ef_construct):
        wrong["hnsw_config"] = models.HnswConfigDiff(m=indexing.m, ef_construct=indexing.ef_construct)
    if _quantized(found) != indexing.quantization:
        wanted = _quantization(indexing.quantization)
        wrong["quantization_config"] = models.Disabled.DISABLED if wanted is None else wanted
    return wrong


def _quantization(name: str) -> models.QuantizationConfig | None:
    from qdrant_client import models

    if name == "scalar":
        eight_bits = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99)
        return models.ScalarQuantization(scalar=eight_bits)
    if name == "binary":
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig())
    return None


def _quantized(found: models.CollectionInfo) -> str:
    """The kind of quantization, as the settings name it; or the server's name of another one."""
    config = found.config.quantization_config
    return "none" if config is None else next(iter(type(config).model_fields))


def require_length(collection: str, found: models.CollectionInfo, dimensions: int) -> None:
    """Raises ConfigurationError."""
    vectors = found.config.params.vectors
    stored = vectors[DENSE].size if isinstance(vectors, dict) and DENSE in vectors else None
    if stored != dimensions:
        raise ConfigurationError(
            f"{collection} on the Qdrant server holds vectors of length {stored}, and the model makes {dimensions}.",
            remedy="set the model's dimensions to what it makes, or qdrant.collection to another name; or delete the "
            "collection on the server: `aegis ingest` makes it again from the cache.",
        )


def mark_of(found: models.CollectionInfo) -> dict[str, str]:
    """Whose it is; empty: it was not made by aegis."""
    return dict((found.config.metadata or {}).get(_MARK) or {})


def state(found: models.CollectionInfo) -> Iterator[str]:
    """How a collection is kept, and what its optimizer says if it is not content."""
    hnsw = found.config.hnsw_config
    yield f"HNSW with m {hnsw.m} and ef_construct {hnsw.ef_construct}"
    yield f"quantization {_quantized(found)}"
    yield f"{found.indexed_vectors_count or 0} vectors indexed"
    if found.status.value != "green":
        error = getattr(found.optimizer_status, "error", "")
        yield f"state {found.status.value}{f': {error}' if error else ''}"


def foreign(what: str) -> ConfigurationError:
    """The error for what another home or program has under our names."""
    return ConfigurationError(
        f"The Qdrant server has {what}; it is neither read nor changed.",
        remedy="set qdrant.collection to a name that no other home or program uses on this server. If it is left over "
        "from a home that is gone, delete it on the server.",
    )
