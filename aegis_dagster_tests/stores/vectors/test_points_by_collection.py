"""Points of a local store are counted beside the process that has it open, without its lock and without the client."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from aegis_dagster.errors import ServiceError
from aegis_dagster.stores.vectors.engines import points_by_collection
from aegis_dagster.stores.vectors.qdrant_client_engine import ClientFolder
from aegis_dagster.stores.vectors.qdrant_edge_engine import EdgeFolder
from aegis_dagster_tests.stores.vectors.test_processes import start
from aegis_dagster_tests.support.points_writer import DOCUMENTS, PASSAGES, Folder, open_store, replace

ALL = len(DOCUMENTS) * PASSAGES


def test_without_a_store_there_is_no_number(folder: Folder) -> None:
    assert points_by_collection(folder, "documents") == {}
    assert folder.count_points("documents__model_1") is None
    assert not folder.path.exists()


def test_points_are_counted_while_another_process_writes_and_holds_the_lock(folder: Folder) -> None:
    store = open_store(folder)
    replace(store, "v1")
    assert points_by_collection(folder, "documents") == {store.collection: ALL}
    store.delete_documents(DOCUMENTS[:1])
    assert points_by_collection(folder, "documents") == {store.collection: ALL - PASSAGES}
    assert points_by_collection(folder, "other") == {}

    writer = start(folder, "replace", "v2")  # it has the lock now
    counts = []
    try:
        while writer.poll() is None:
            counts.append(points_by_collection(folder, "documents")[store.collection])
    finally:
        writer.kill()
        writer.wait()
    assert len(counts) > 3
    assert ALL - PASSAGES <= min(counts) <= max(counts) <= 2 * ALL  # new points first, then the old ones go
    assert points_by_collection(folder, "documents") == {store.collection: ALL}


def test_a_count_does_not_stop_a_writer_and_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    folder = ClientFolder(tmp_path / "qdrant")
    store = open_store(folder)
    replace(store, "v1")
    file = folder.path / "collection" / store.collection / "storage.sqlite"
    with closing(sqlite3.connect(file, timeout=0)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM points")
        assert folder.count_points(store.collection) == ALL  # what was committed
        connection.commit()
        assert folder.count_points(store.collection) == 0
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(ServiceError, match=r"vector store .* is damaged"):
        folder.count_points(store.collection)


def test_a_count_that_a_killed_writer_left_behind_is_mended_by_the_next_who_opens(tmp_path: Path) -> None:
    folder = EdgeFolder(tmp_path / "vectors")
    store = open_store(folder)
    replace(store, "v1")
    file = folder.path / "collection" / store.collection / "points.json"
    for left in ("7", None):
        file.unlink() if left is None else file.write_text(left, "utf-8")
        assert store.count() == ALL
        assert points_by_collection(folder, "documents") == {store.collection: ALL}
    file.write_text("seven", "utf-8")
    with pytest.raises(ServiceError, match=r"vector store .* is damaged"):
        folder.count_points(store.collection)
