"""Points for the vector store's tests: real chunks, vectors from a seeded generator."""

import numpy as np

from aegis_dagster.domain.chunks import Box, Chunk, locate
from aegis_dagster.domain.identifiers import DocumentId, collection_of
from aegis_dagster.ports import VectorPoint, Vectors

DIMENSIONS = 16


def vector_of(text: str) -> Vectors:
    """A vector of length 1 that only the text decides."""
    seed = int.from_bytes(text.encode("utf-8")[:8].ljust(8, b"\0"), "big") + len(text)
    values = np.random.default_rng(seed).normal(size=DIMENSIONS).astype(np.float32)
    vector: Vectors = values / np.linalg.norm(values)
    return vector


def points_of(document: str, texts: list[str], fingerprint: str) -> list[VectorPoint]:
    """One point for each text of a document."""
    document_id = DocumentId(document)
    chunks = [
        Chunk(
            ordinal=number,
            text=text,
            embedded_text=text,
            headings=("Title", f"Part {number}"),
            pages=(number + 1,),
            boxes=(Box(number + 1, 10.123, 20.0, 30.5, 40.25),),
        )
        for number, text in enumerate(texts)
    ]
    return [
        VectorPoint(located, collection_of(document_id), fingerprint, vector_of(located.chunk.embedded_text))
        for located in locate(document_id, chunks)
    ]
