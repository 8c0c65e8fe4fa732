"""A process of its own that works on a vector store: `python -m ....points_writer ENGINE FOLDER COMMAND`.

ENGINE `server`: FOLDER is its address.

`hold SECONDS` keeps the store open; `replace FINGERPRINT` replaces the documents of `DOCUMENTS`. Both print `ready`
once they have begun. `keep FINGERPRINT` replaces them, prints `ready`, and keeps the store until somebody waits for it.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.ports import VectorPoint
from aegis_dagster.stores.vectors.engines import Backend
from aegis_dagster.stores.vectors.qdrant import QdrantStore
from aegis_dagster.stores.vectors.qdrant_client_engine import ClientFolder
from aegis_dagster.stores.vectors.qdrant_edge_engine import EdgeFolder
from aegis_dagster.stores.vectors.qdrant_server_engine import QdrantServer
from aegis_dagster.stores.vectors.server_access import ServerAccess
from aegis_dagster.stores.vectors.server_collections import Indexing
from aegis_dagster_tests.support.points import DIMENSIONS, points_of

DOCUMENTS = [DocumentId(f"reports/{number}.pdf") for number in range(4)]
PASSAGES = 60  # of one document
_INDEXING: dict[str, Any] = {"m": 16, "ef_construct": 100, "quantization": "none"}
Folder = ClientFolder | EdgeFolder
FOLDERS: Mapping[str, type[ClientFolder] | type[EdgeFolder]] = {"client": ClientFolder, "edge": EdgeFolder}


def server_at(
    url: str,
    *,
    api_key: str = "",
    ca_file: Path | None = None,
    home: str = "h1",
    alias: str = "documents",
    **values: Any,
) -> QdrantServer:
    """A server, as a home that waits little for it sees it. values: of `Indexing` and `ServerAccess`."""
    indexing = {name: values.pop(name, default) for name, default in _INDEXING.items()}
    access = ServerAccess(url, api_key, ca_file, **({"timeout_seconds": 20.0, "retry_seconds": 0.0} | values))
    return QdrantServer(access, Indexing(**indexing), alias=alias, home=home)


def open_store(backend: Backend, lock_timeout_seconds: float = 30, *, model: str = "model/1") -> QdrantStore:
    return QdrantStore(
        backend, alias="documents", model=model, dimensions=DIMENSIONS, lock_timeout_seconds=lock_timeout_seconds
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
    store = open_store(server_at(path) if engine == "server" else FOLDERS[engine](Path(path)))
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
