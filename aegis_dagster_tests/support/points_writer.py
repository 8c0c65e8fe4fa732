"""A process of its own that works on a vector store: `python -m ....points_writer FOLDER COMMAND`.

`hold SECONDS` keeps the store open; `replace FINGERPRINT` replaces the documents of `DOCUMENTS`.
Prints `ready` once it has begun.
"""

import sys
import time
from pathlib import Path

from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.ports import VectorPoint
from aegis_dagster.stores.vectors.qdrant import QdrantStore
from aegis_dagster_tests.support.points import DIMENSIONS, points_of

DOCUMENTS = [DocumentId(f"reports/{number}.pdf") for number in range(4)]
PASSAGES = 60  # of one document


def open_store(folder: Path, lock_timeout_seconds: float = 30) -> QdrantStore:
    return QdrantStore(
        folder, alias="documents", model="model/1", dimensions=DIMENSIONS, lock_timeout_seconds=lock_timeout_seconds
    )


def version(fingerprint: str) -> list[VectorPoint]:
    """The points of all documents in one version; each passage names its version, so that none stays the same."""
    return [
        point
        for document in DOCUMENTS
        for point in points_of(document, [f"{fingerprint} passage {n}" for n in range(PASSAGES)], fingerprint)
    ]


def replace(store: QdrantStore, fingerprint: str) -> None:
    store.replace_documents(version(fingerprint), dict.fromkeys(DOCUMENTS, fingerprint))


if __name__ == "__main__":
    store = open_store(Path(sys.argv[1]))
    if sys.argv[2] == "hold":
        with store.opened():
            print("ready", flush=True)
            time.sleep(float(sys.argv[3]))
    else:
        with store.opened():
            print("ready", flush=True)
            replace(store, sys.argv[3])
