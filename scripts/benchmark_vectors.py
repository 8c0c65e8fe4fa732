"""Times the embedded vector store: `python -m scripts.benchmark_vectors [POINTS] [edge|client]`.

Random vectors of MiniLM's length and texts of 85 words, ten passages a document. Prints seconds of writing, of opening
with the first query, of a query by each half, of deleting fifty documents, and the resident memory.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from aegis_dagster.domain.chunks import Chunk, locate
from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.embedding.minilm import DIMENSIONS
from aegis_dagster.ports import VectorPoint
from aegis_dagster.stores.vectors.qdrant import QdrantStore
from aegis_dagster.stores.vectors.qdrant_client_engine import ClientFolder
from aegis_dagster.stores.vectors.qdrant_edge_engine import EdgeFolder

_PASSAGES, _BATCH, _WORDS, _QUERIES = 10, 500, 85, 20


def points_of(first: int, count: int, random: np.random.Generator) -> list[VectorPoint]:
    """Points of documents with these numbers."""
    points = []
    for number in range(first, first + count):
        document = DocumentId(f"c/{number}.txt")
        words = random.zipf(1.3, (_PASSAGES, _WORDS)) % 50_000
        texts = [" ".join(f"w{word}" for word in passage) for passage in words]
        vectors = random.standard_normal((_PASSAGES, DIMENSIONS)).astype(np.float32)
        chunks = locate(document, [Chunk(index, text, text) for index, text in enumerate(texts)])
        points += [
            VectorPoint(chunk, CollectionName("c"), "f", row) for chunk, row in zip(chunks, vectors, strict=True)
        ]
    return points


def timed(label: str, work: Callable[[], object], times: int = 1) -> None:
    """Print how long a piece of work takes."""
    start = time.perf_counter()
    for _ in range(times):
        work()
    seconds = (time.perf_counter() - start) / times
    print(f"{label:<28}{seconds:9.3f} s   {psutil.Process().memory_info().rss / 2**20:6.0f} MiB", flush=True)


def main(count: int, engine: str) -> None:
    """Run it in a folder that is deleted afterwards."""
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "vectors"
        folder = EdgeFolder(path) if engine == "edge" else ClientFolder(path)
        store = QdrantStore(folder, alias="a", model="m", dimensions=DIMENSIONS, lock_timeout_seconds=60)
        written = 0.0
        with store.opened():
            for first in range(0, count // _PASSAGES, _BATCH // _PASSAGES):
                points = points_of(first, _BATCH // _PASSAGES, random)
                fingerprints = dict.fromkeys((point.located.document_id for point in points), "f")
                start = time.perf_counter()
                store.replace_documents(points, fingerprints)
                written += time.perf_counter() - start
        print(f"{'write':<28}{written:9.3f} s   {store.count():,} points")
        vector = random.standard_normal(DIMENSIONS).astype(np.float32)
        timed("open and first query", lambda: store.search("w17 w4711", vector, limit=10))
        with store.opened():
            timed("dense query", lambda: store.search("", vector, limit=10, mode="dense"), _QUERIES)
            timed("sparse query", lambda: store.search("w17 w4711 w9", None, limit=10, mode="sparse"), _QUERIES)
            timed("fused query", lambda: store.search("w17 w4711 w9", vector, limit=10), _QUERIES)
        timed("delete 50 documents", lambda: store.delete_documents([DocumentId(f"c/{n}.txt") for n in range(50)]))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 25_000, sys.argv[2] if len(sys.argv) > 2 else "edge")
