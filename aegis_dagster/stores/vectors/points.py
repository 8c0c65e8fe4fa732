"""The stored form of a chunk, and what a question searches for: pure functions, the same for every engine."""

from __future__ import annotations

from typing import Any

from aegis_dagster.domain.chunks import Box
from aegis_dagster.domain.identifiers import ChunkId, DocumentId
from aegis_dagster.ports import SearchHit, VectorPoint, Vectors
from aegis_dagster.stores.vectors.bm25 import question_terms
from aegis_dagster.stores.vectors.engines import Asked


def physical_name(alias: str, model: str) -> str:
    """The collection behind `alias` that holds vectors of `model`."""
    slug = "".join(char if char.isalnum() or char in "-._" else "_" for char in model.lower())
    return f"{alias}__{slug}"


def model_in(name: str, alias: str) -> str:
    """The model in the name of a collection, as far as the name holds it: it names the same collection."""
    return name.removeprefix(f"{alias}__")


def payload_of(point: VectorPoint, model: str) -> dict[str, Any]:
    """What is stored beside the vectors; the text is not: readers take it from the artifacts."""
    located = point.located
    chunk = located.chunk
    return {
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
    }


def asked_of(question: str, vector: Vectors | None, mode: str) -> Asked | None:
    """What a question searches for; None: nothing.

    "dense" searches by `vector`, "sparse" by the words of `question`, "fused" by both. For a question without words
    (or if the vector is None) "fused" uses only the other half. Raises ValueError for another mode.
    """
    if mode not in ("dense", "sparse", "fused"):
        raise ValueError(f"mode {mode!r} is not one of 'dense', 'sparse', 'fused'")
    terms = question_terms(question) if mode != "dense" else None
    asked = Asked(
        vector=vector.tolist() if mode != "sparse" and vector is not None else None,
        terms=terms if terms and terms.indices else None,
    )
    return asked if asked.vector is not None or asked.terms is not None else None


def to_hit(payload: dict[str, Any], score: float) -> SearchHit:
    """The search hit for a stored point."""
    return SearchHit(
        document_id=DocumentId(payload["document"]),
        chunk_id=ChunkId(payload["chunk"]),
        score=score,
        ordinal=payload["ordinal"],
        pages=tuple(payload["pages"]),
        headings=tuple(payload["headings"]),
        payload=payload,
    )


def _compact(box: Box) -> list[float]:
    """[page, left, top, right, bottom] in points with two decimals (1/7200 inch): short, so that opening stays fast."""
    return [box.page_no, *(round(side, 2) for side in (box.left, box.top, box.right, box.bottom))]
