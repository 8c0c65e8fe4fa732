"""The contract of the vector store, held against each engine."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.errors import ServiceError
from aegis_dagster.stores.vectors.engines import Backend, Engine
from aegis_dagster.stores.vectors.qdrant import QdrantStore
from aegis_dagster.stores.vectors.qdrant_client_engine import ClientFolder
from aegis_dagster.stores.vectors.qdrant_edge_engine import EdgeFolder
from aegis_dagster.stores.vectors.turns import Turns
from aegis_dagster_tests.support.points import points_of, vector_of
from aegis_dagster_tests.support.points_writer import FOLDERS, Folder, open_store, server_at
from aegis_dagster_tests.support.qdrant_server.running import QdrantStandIn

A = DocumentId("reports/a.pdf")
B = DocumentId("letters/b.pdf")
TEXTS = ["The turbine was inspected in March.", "Its bearing is worn.", "Replace asyncio.run with a loop."]


class Counted:
    """Implements engines.Backend: another one, which counts how often it is opened."""

    def __init__(self, folder: Folder) -> None:
        self.path, self.place, self.opened, self._folder = folder.path, folder.place, 0, folder
        self.fault, self.is_absent, self.has = folder.fault, folder.is_absent, folder.has
        self.check, self.alias_target = folder.check, folder.alias_target
        self.collections, self.count_points = folder.collections, folder.count_points

    def open(self) -> Engine:
        self.opened += 1
        return self._folder.open()


def fill(store: QdrantStore) -> None:
    store.replace_documents(
        points_of(A, TEXTS, "f1") + points_of(B, ["Dear Sir, the bearing."], "g1"), {A: "f1", B: "g1"}
    )


def test_a_store_that_does_not_exist_is_empty_and_stays_away(store: QdrantStore, tmp_path: Path) -> None:
    assert store.count() == 0
    assert store.counts_by_document() == {}
    assert list(store.scan()) == []
    assert store.search("turbine", vector_of("x"), limit=5) == []
    store.delete_documents([A])
    assert not store.exists()
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_is_read_back_whole(store: QdrantStore) -> None:
    fill(store)
    stored = {
        point.payload["ordinal"]: point for point in store.scan(with_vectors=True) if point.payload["document"] == A
    }
    assert sorted(stored) == [0, 1, 2]
    source = points_of(A, TEXTS, "f1")[1]
    assert stored[1].id == source.located.id
    assert stored[1].payload == {
        "document": A,
        "collection": "reports",
        "chunk": source.located.id,
        "ordinal": 1,
        "pages": [2],
        "boxes": [[2, 10.12, 20.0, 30.5, 40.25]],
        "headings": ["Title", "Part 1"],
        "text_hash": source.located.content_hash,
        "model": "model/1",
        "fingerprint": "f1",
    }
    vector = stored[1].vector
    assert vector is not None
    assert np.abs(vector - source.vector).max() < 1e-6


def test_a_scan_is_sorted_by_id_and_the_same_each_time(store: QdrantStore) -> None:
    fill(store)
    ids = [point.id for point in store.scan()]
    assert ids == sorted(ids)
    assert len(set(ids)) == 4
    assert list(store.scan()) == list(store.scan())


def test_replacing_removes_what_the_new_version_no_longer_says(store: QdrantStore) -> None:
    fill(store)
    changed = [TEXTS[0], "Its bearing is new."]
    store.replace_documents(points_of(A, changed, "f2"), {A: "f2"})
    stored = [point for point in store.scan() if point.payload["document"] == A]
    assert {point.id for point in stored} == {point.located.id for point in points_of(A, changed, "f2")}
    assert {point.payload["fingerprint"] for point in stored} == {"f2"}
    assert store.counts_by_document() == {A: 2, B: 1}


def test_an_unchanged_passage_keeps_its_id_across_versions(store: QdrantStore) -> None:
    fill(store)
    before = {point.id for point in store.scan()}
    store.replace_documents(points_of(A, ["A new first paragraph.", *TEXTS], "f2"), {A: "f2"})
    assert before < {point.id for point in store.scan()}


def test_replacing_again_changes_nothing(store: QdrantStore) -> None:
    fill(store)
    before = list(store.scan())
    fill(store)
    assert list(store.scan()) == before


def test_a_document_that_became_empty_leaves_no_points(store: QdrantStore) -> None:
    fill(store)
    store.replace_documents([], {A: "f2"})
    assert store.counts_by_document() == {B: 1}


def test_equal_texts_of_one_document_stay_two_points(store: QdrantStore) -> None:
    store.replace_documents(points_of(A, ["Same.", "Other.", "Same."], "f1"), {A: "f1"})
    assert store.count() == 3


def test_equal_texts_of_two_documents_stay_apart(store: QdrantStore) -> None:
    store.replace_documents(points_of(A, ["Same."], "f1") + points_of(B, ["Same."], "g1"), {A: "f1", B: "g1"})
    store.delete_documents([A])
    assert store.counts_by_document() == {B: 1}


def test_a_deleted_document_is_found_no_more(store: QdrantStore) -> None:
    fill(store)
    store.delete_documents([A, DocumentId("never/seen.pdf")])
    assert store.counts_by_document() == {B: 1}
    assert {hit.document_id for hit in store.search("bearing turbine", vector_of(TEXTS[0]), limit=10)} == {B}


@pytest.mark.parametrize("mode", ["dense", "sparse", "fused"])
def test_every_mode_finds_the_passage(store: QdrantStore, mode: str) -> None:
    fill(store)
    best = store.search("When were turbines inspected?", vector_of(TEXTS[0]), limit=3, mode=mode)[0]
    assert (best.document_id, best.ordinal, best.pages, best.headings) == (A, 0, (1,), ("Title", "Part 0"))
    assert best.chunk_id == points_of(A, TEXTS, "f1")[0].located.id


def test_hits_come_best_first_and_no_more_than_asked_for(store: QdrantStore) -> None:
    fill(store)
    hits = store.search("bearing", vector_of(TEXTS[1]), limit=2)
    assert len(hits) == 2
    assert hits[0].score >= hits[1].score


def test_a_search_can_be_restricted_to_one_collection(store: QdrantStore) -> None:
    fill(store)
    hits = store.search("bearing", vector_of(TEXTS[1]), limit=10, collection="letters")
    assert {hit.document_id for hit in hits} == {B}


def test_a_question_without_words_is_still_searched_by_meaning(store: QdrantStore) -> None:
    fill(store)
    assert store.search("?!", vector_of(TEXTS[1]), limit=1)[0].ordinal == 1
    assert store.search("?!", None, limit=1) == []


def test_a_fused_search_without_a_vector_goes_by_words(store: QdrantStore) -> None:
    fill(store)
    assert store.search("asyncio.run", None, limit=1)[0].ordinal == 2


def test_an_unknown_mode_is_refused(store: QdrantStore) -> None:
    fill(store)
    with pytest.raises(ValueError, match="fuzzy"):
        store.search("bearing", None, limit=1, mode="fuzzy")


def test_a_store_kept_open_answers_the_same(store: QdrantStore) -> None:
    fill(store)
    with store.opened(), store.opened():
        inside = store.search("bearing", vector_of(TEXTS[1]), limit=3)
        store.delete_documents([B])
    assert inside[0].ordinal == 1
    assert store.counts_by_document() == {A: 3}


def test_a_store_is_opened_once_while_nobody_waits_for_it(folder: Folder) -> None:
    store, other = open_store(counted := Counted(folder)), open_store(folder)
    with store.kept_open():
        fill(store)
        store.replace_documents([], {A: "f2"})
        assert store.count() == 1
        assert counted.opened == 1
        other.delete_documents([B])
        assert store.count() == 0
        assert counted.opened == 2
    assert Turns(folder.path).take(0)


def test_a_store_that_is_kept_is_opened_again_after_an_error(folder: Folder) -> None:
    store = open_store(counted := Counted(folder))
    with store.kept_open():
        fill(store)
        with pytest.raises(ServiceError):
            store.activate(expected_points=5)
        assert store.count() == 4
    assert counted.opened == 2


def test_a_folder_that_is_deleted_while_it_is_kept_is_filled_again(folder: Folder) -> None:
    store = open_store(folder)
    with store.kept_open():
        fill(store)
        shutil.rmtree(folder.path)
        assert store.count() == 0
        fill(store)
    assert store.count() == 4


def test_a_deleted_folder_is_an_empty_store_that_can_be_filled_again(folder: Folder) -> None:
    store = open_store(folder)
    fill(store)
    shutil.rmtree(folder.path)
    assert store.count() == 0
    fill(store)
    assert store.count() == 4


def test_more_points_than_one_batch_are_all_kept(store: QdrantStore) -> None:
    texts = [f"Passage number {number}." for number in range(1203)]
    store.replace_documents(points_of(A, texts, "f1"), {A: "f1"})
    assert store.counts_by_document() == {A: 1203}
    store.replace_documents(points_of(A, texts[:1], "f2"), {A: "f2"})
    assert store.count() == 1


def test_a_destroyed_store_is_reported_with_how_to_rebuild_it(folder: Folder) -> None:
    store = open_store(folder)
    fill(store)
    names_of(folder).write_text("{", "utf-8")
    with pytest.raises(ServiceError, match="aegis ingest"):
        store.count()
    shutil.rmtree(folder.path)
    assert store.count() == 0


@pytest.mark.parametrize("said", ["[]", '"x"', '["documents"]', '{"documents": 3}'])
def test_names_that_are_no_names_lead_nowhere(folder: Folder, said: str) -> None:
    store = open_store(folder)
    fill(store)
    names_of(folder).write_text(said if isinstance(folder, EdgeFolder) else f'{{"aliases": {said}}}', "utf-8")
    assert store.active_collection() is None
    with pytest.raises(ServiceError, match="aegis ingest"):
        store.count()


def names_of(folder: Folder) -> Path:
    """The file with the aliases."""
    return folder.path / ("aliases.json" if isinstance(folder, EdgeFolder) else "meta.json")


def test_what_was_written_is_safe_and_counted_even_while_the_store_stays_open(
    store: QdrantStore, backend: Backend
) -> None:
    with store.opened():
        fill(store)
        assert backend.count_points(store.collection) == 4
        if isinstance(backend, ClientFolder):
            (log,) = (backend.path / "collection").glob("*/storage.sqlite-wal")
            assert log.stat().st_size == 0  # a checkpoint moved it to the database and synced both


def test_two_models_live_side_by_side_until_the_new_one_is_activated(store: QdrantStore, backend: Backend) -> None:
    fill(store)
    newer = open_store(backend, model="model/2")
    newer.replace_documents(points_of(A, TEXTS, "f2"), {A: "f2"})
    newer.delete_documents([B])  # of both
    assert (store.count(), newer.count()) == (3, 3)
    assert backend.alias_target("documents") == "documents__model_1"
    with pytest.raises(ServiceError, match="3 points instead of 4"):
        newer.activate(expected_points=4)
    assert backend.alias_target("documents") == "documents__model_1"
    newer.activate(expected_points=3)
    assert backend.alias_target("documents") == "documents__model_2"
    assert (store.count(), newer.count()) == (0, 3)
    assert backend.collections("documents") == ["documents__model_2"]


def test_all_engines_find_the_same_in_the_same_order(tmp_path: Path, qdrant_server: QdrantStandIn) -> None:
    found = []
    for backend in (*(folder_of(tmp_path / name) for name, folder_of in FOLDERS.items()), server_at(qdrant_server.url)):
        store = open_store(backend)
        texts = [f"{number} is a passage about the {'turbine' if number % 3 else 'bearing'}." for number in range(60)]
        store.replace_documents(points_of(A, texts, "f1"), {A: "f1"})
        for mode in ("dense", "sparse", "fused"):
            hits = store.search("bearing passage 7", vector_of(texts[7]), limit=5, mode=mode)
            found.append((mode, [hit.score for hit in hits], hits[0].ordinal))
    for one, other in zip(found[:3] * 2, found[3:], strict=True):
        assert (one[0], one[2]) == (other[0], other[2]) == (one[0], 7)
        if one[0] != "fused":  # they differ in how they estimate the spread of scores
            assert one[1] == pytest.approx(other[1], abs=1e-4)


def test_a_disk_that_is_nearly_full_is_told_before_anything_is_written(tmp_path: Path) -> None:
    """A write to a full disk would end the process, because the engine maps its files into memory."""
    fill(open_store(EdgeFolder(tmp_path / "vectors")))
    full = open_store(EdgeFolder(tmp_path / "vectors", least_free_bytes=2**60))
    with pytest.raises(ServiceError, match="the disk is full"):
        fill(full)
    with pytest.raises(ServiceError, match="the disk is full"):
        full.delete_documents([A])
    assert full.counts_by_document() == {A: 3, B: 1}


@pytest.mark.parametrize("victim", ["segment.json", "edge_config.json", "version.info"])
def test_a_shard_that_cannot_be_opened_says_how_it_is_made_again(tmp_path: Path, victim: str) -> None:
    folder = EdgeFolder(tmp_path / "vectors")
    store = open_store(folder)
    fill(store)
    for file in folder.path.rglob(victim):
        file.write_bytes(b"\xff\x00 no such thing")
    with pytest.raises(ServiceError, match=r"delete the folder .* run `aegis ingest`"):
        store.search("bearing", None, limit=1)


def test_deleted_points_give_their_room_back(tmp_path: Path) -> None:
    folder = EdgeFolder(tmp_path / "vectors")
    store = open_store(folder)
    texts = [f"Passage number {number}." for number in range(3000)]
    store.replace_documents(points_of(A, texts, "f1"), {A: "f1"})
    segments = {file.parent.name for file in folder.path.rglob("segment.json")}
    store.replace_documents(points_of(A, texts[:100], "f1"), {A: "f1"})
    assert store.count() == 100
    assert {file.parent.name for file in folder.path.rglob("segment.json")} != segments  # written again
    assert store.search("passage number 7", None, limit=1)[0].ordinal == 7
