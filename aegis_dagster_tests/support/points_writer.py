"""A process of its own that works on a vector store: `python -m ....points_writer ENGINE FOLDER COMMAND`.

`hold SECONDS` keeps the store open; `replace FINGERPRINT` replaces the documents of `DOCUMENTS`. Both print `ready`
once they have begun. `keep FINGERPRINT` replaces them, prints `ready`, and keeps the store until somebody waits for it.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.ports import VectorPoint
from aegis_dagster.stores.vectors.engines import EngineFolder
from aegis_dagster.stores.vectors.qdrant import QdrantStore
from aegis_dagster.stores.vectors.qdrant_client_engine import ClientFolder
from aegis_dagster.stores.vectors.qdrant_edge_engine import EdgeFolder
from aegis_dagster_tests.support.points import DIMENSIONS, points_of

DOCUMENTS = [DocumentId(f"reports/{number}.pdf") for number in range(4)]
PASSAGES = 60  # of one document
FOLDERS: dict[str, Callable[[Path], EngineFolder]] = {"client": ClientFolder, "edge": EdgeFolder}


def open_store(folder: EngineFolder, lock_timeout_seconds: float = 30, *, model: str = "model/1") -> QdrantStore:
    return QdrantStore(
        folder, alias="documents", model=model, dimensions=DIMENSIONS, lock_timeout_seconds=lock_timeout_seconds
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
    engine, path, command, value = sys.argv[1:]
    store = open_store(FOLDERS[engine](Path(path)))
    if command == "keep":
        with store.kept_open():
            replace(store, value)
            print("ready", flush=True)
            time.sleep(60)
    with store.opened():
        print("ready", flush=True)
        if command == "hold":
            time.sleep(float(value))
        else:
            replace(store, value)
