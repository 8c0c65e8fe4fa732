"""Converts between our values and Qdrant's models: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aegis_dagster.domain.chunks import Box
from aegis_dagster.domain.identifiers import ChunkId, DocumentId
from aegis_dagster.ports import SearchHit, VectorPoint, Vectors
from aegis_dagster.stores.vectors.bm25 import SparseTerms, passage_terms, question_terms

if TYPE_CHECKING:
    from qdrant_client import models

DENSE = "dense"
SPARSE = "bm25"

# Candidates that each of the two searches hands to the fusion. Scores are fused by their distribution (DBSF):
# on 65 questions over 230 PEPs (9,263 passages) it found the right PEP first in 71 %, against at most 69 % by
# reciprocal ranks (45 settings) and 58 % by either search alone. 200 candidates answer one question more at rank 1
# there and one less in the first five, and do worse on corpora of a few hundred passages.
PREFETCH = 50


def physical_name(alias: str, model: str) -> str:
    """The collection behind `alias` that holds vectors of `model`."""
    slug = "".join(char if char.isalnum() or char in "-._" else "_" for char in model.lower())
    return f"{alias}__{slug}"


def model_in(name: str, alias: str) -> str:
    """The model in the name of a collection, as far as the name holds it: it names the same collection."""
    return name.removeprefix(f"{alias}__")


def vector_layout(dimensions: int) -> dict[str, Any]:
    """Arguments of create_collection: one dense vector (cosine), one sparse one with IDF."""
    from qdrant_client import models

    return {
        "vectors_config": {DENSE: models.VectorParams(size=dimensions, distance=models.Distance.COSINE)},
        "sparse_vectors_config": {SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
    }


def to_point(point: VectorPoint, model: str) -> models.PointStruct:
    """The stored form of a chunk, without its text: readers take that from the artifacts."""
    from qdrant_client import models

    located = point.located
    chunk = located.chunk
    return models.PointStruct(
        id=located.id,
        vector={DENSE: point.vector.tolist(), SPARSE: _sparse(passage_terms(chunk.embedded_text))},
        payload={
            "document": located.document_id,
            "collection": point.collection,
            "chunk": located.id,
            "ordinal": chunk.ordinal,
            "pages": list(chunk.pages),
            "boxes": [_compact(box) for box in chunk.boxes],
            "headings": list(chunk.headings),
            "text_hash": located.content_hash,
            "model": model,
            "fingerprint": point.fingerprint,
        },
    )


def of_documents(document_ids: Sequence[DocumentId]) -> models.Filter:
    """The filter for every point of these documents."""
    from qdrant_client import models

    any_of = models.MatchAny(any=[str(document_id) for document_id in document_ids])
    return models.Filter(must=[models.FieldCondition(key="document", match=any_of)])


def of_collection(collection: str | None) -> models.Filter | None:
    """The filter for every point of one of our collections (a folder, not Qdrant's); None: all points."""
    from qdrant_client import models

    if collection is None:
        return None
    return models.Filter(must=[models.FieldCondition(key="collection", match=models.MatchValue(value=collection))])


def search_arguments(question: str, vector: Vectors | None, mode: str) -> dict[str, Any] | None:
    """Arguments of query_points for a question; None if it has nothing to search for.

    "dense" searches by `vector`, "sparse" by the words of `question`, "fused" by both. For a question without words
    (or if the vector is None) "fused" uses only the other half. Raises ValueError for another mode.
    """
    from qdrant_client import models

    if mode not in ("dense", "sparse", "fused"):
        raise ValueError(f"mode {mode!r} is not one of 'dense', 'sparse', 'fused'")
    terms = question_terms(question)
    halves: list[dict[str, Any]] = []
    if mode != "sparse" and vector is not None:
        halves.append({"query": vector.tolist(), "using": DENSE})
    if mode != "dense" and terms.indices:
        halves.append({"query": _sparse(terms), "using": SPARSE})
    if len(halves) == 2:
        prefetch = [models.Prefetch(**half, limit=PREFETCH) for half in halves]
        return {"prefetch": prefetch, "query": models.FusionQuery(fusion=models.Fusion.DBSF)}
    return halves[0] if halves else None


def to_hit(point: models.ScoredPoint) -> SearchHit:
    """The search hit for a stored point."""
    payload = point.payload or {}
    return SearchHit(
        document_id=DocumentId(payload["document"]),
        chunk_id=ChunkId(payload["chunk"]),
        score=point.score,
        ordinal=payload["ordinal"],
        pages=tuple(payload["pages"]),
        headings=tuple(payload["headings"]),
        payload=payload,
    )


def _sparse(terms: SparseTerms) -> models.SparseVector:
    from qdrant_client import models

    return models.SparseVector(indices=list(terms.indices), values=list(terms.values))


def _compact(box: Box) -> list[float]:
    """[page, left, top, right, bottom] in points with two decimals (1/7200 inch): short, so that opening stays fast."""
    return [box.page_no, *(round(side, 2) for side in (box.left, box.top, box.right, box.bottom))]
