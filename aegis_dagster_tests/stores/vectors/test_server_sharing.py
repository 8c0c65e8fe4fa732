"""Several homes and other programs on one server, and collections that are not as the settings say."""

import threading
import time
from collections import Counter
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from aegis_dagster.errors import ConfigurationError
from aegis_dagster.stores.vectors.qdrant import QdrantStore
from aegis_dagster_tests.stores.vectors.test_qdrant import TEXTS, A, fill
from aegis_dagster_tests.support.points import DIMENSIONS, points_of, vector_of
from aegis_dagster_tests.support.points_writer import DOCUMENTS, PASSAGES, open_store, replace, server_at
from aegis_dagster_tests.support.qdrant_server.running import QdrantStandIn


def of_alias(url: str, alias: str, home: str, model: str) -> QdrantStore:
    backend = server_at(url, alias=alias, home=home)
    return QdrantStore(backend, alias=alias, model=model, dimensions=DIMENSIONS, lock_timeout_seconds=1)


def other_program(server: QdrantStandIn, name: str, size: int = 4) -> QdrantClient:
    """Another program's collection."""
    client = QdrantClient(url=server.url, check_compatibility=False)
    client.create_collection(
        name,
        vectors_config={"dense": models.VectorParams(size=size, distance=models.Distance.COSINE)},
        sparse_vectors_config={},
    )
    return client


@pytest.mark.parametrize("model", ["model/1", "model/2"])
def test_another_home_of_the_same_alias_is_refused_in_everything(qdrant_server: QdrantStandIn, model: str) -> None:
    mine = open_store(server_at(qdrant_server.url))
    fill(mine)
    before = [(point.id, point.payload) for point in mine.scan()]
    theirs = open_store(server_at(qdrant_server.url, home="h2"), model=model)
    for refused in (
        theirs.exists,
        lambda: fill(theirs),
        lambda: theirs.delete_documents([A]),
        lambda: theirs.activate(expected_points=0),
        theirs.is_alone,
    ):
        with pytest.raises(ConfigurationError, match=r"this home did not make.*qdrant\.collection to a name"):
            refused()
    assert [(point.id, point.payload) for point in mine.scan()] == before
    assert mine.active_collection() == mine.collection


def test_homes_of_other_aliases_do_not_meet_even_if_one_name_begins_like_the_other(
    qdrant_server: QdrantStandIn,
) -> None:
    one = of_alias(qdrant_server.url, "docs", "h1", "m1")
    other = of_alias(qdrant_server.url, "docs__x", "h2", "m1")
    fill(one)
    fill(other)
    newer = of_alias(qdrant_server.url, "docs", "h1", "m2")
    newer.replace_documents(points_of(A, TEXTS, "f2"), {A: "f2"})
    newer.delete_documents([A])
    newer.activate(expected_points=0)
    assert (one.count(), newer.count(), other.count()) == (0, 0, 4)
    assert other.active_collection() == "docs__x__m1"
    assert newer.is_alone() and other.is_alone()


@pytest.mark.parametrize("taken", ["collection", "alias", "name of the collection"])
def test_names_of_other_programs_are_left_alone(qdrant_server: QdrantStandIn, taken: str) -> None:
    names = {"collection": "documents", "alias": "theirs", "name of the collection": "documents__model_1"}
    client = other_program(qdrant_server, names[taken])
    if taken == "alias":
        create = models.CreateAlias(collection_name="theirs", alias_name="documents")
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
    aliases = client.get_aliases()
    with pytest.raises(ConfigurationError, match=r"neither read nor changed.*qdrant\.collection"):
        fill(open_store(server_at(qdrant_server.url)))
    assert client.collection_exists(names[taken])
    assert client.get_aliases() == aliases


def test_vectors_of_another_length_are_refused_before_anything_is_written(qdrant_server: QdrantStandIn) -> None:
    backend = server_at(qdrant_server.url)
    fill(open_store(backend))
    longer = QdrantStore(backend, alias="documents", model="model/1", dimensions=32, lock_timeout_seconds=1)
    with pytest.raises(ConfigurationError, match=r"of length 16, and the model makes 32.*aegis ingest"):
        longer.replace_documents([], {A: "f2"})
    assert longer.count() == 4


def test_of_two_writers_that_cross_none_deletes_what_the_other_has_written(qdrant_server: QdrantStandIn) -> None:
    slow, quick = (open_store(server_at(qdrant_server.url)) for _ in range(2))
    fill(slow)
    qdrant_server.script({"match": "/points/scroll", "delay": 2})
    writer = threading.Thread(target=replace, args=(slow, "v1"))
    writer.start()
    while not qdrant_server.records("/points/scroll"):
        time.sleep(0.02)
    replace(quick, "v2")
    writer.join()
    stored = Counter((point.payload["document"], point.payload["fingerprint"]) for point in quick.scan())
    assert all(PASSAGES in (stored[document, "v1"], stored[document, "v2"]) for document in DOCUMENTS), stored
    replace(quick, "v3")
    assert {quick.counts_by_document()[document] for document in DOCUMENTS} == {PASSAGES}


INDEXINGS: list[tuple[dict[str, Any], str]] = [
    ({"m": 32}, "HNSW with m 32 and ef_construct 100, quantization none"),
    ({"m": 32, "ef_construct": 200, "quantization": "scalar"}, "m 32 and ef_construct 200, quantization scalar"),
    ({"quantization": "binary"}, "m 16 and ef_construct 100, quantization binary"),
    ({}, "m 16 and ef_construct 100, quantization none"),
]


def test_how_vectors_are_indexed_follows_the_settings(qdrant_server: QdrantStandIn) -> None:
    for number, (indexing, said) in enumerate(INDEXINGS):
        backend = server_at(qdrant_server.url, **indexing)
        before = backend.summary("documents__model_1")
        if number == 0:
            assert before == "nothing yet"
        else:
            assert "the next run that writes changes its " in before
        store = open_store(backend)
        fill(store)
        assert said in (now := backend.summary("documents__model_1"))
        assert now.startswith("4 points, ") and "next run" not in now
        assert store.search("bearing", vector_of(TEXTS[1]), limit=1)[0].ordinal == 1
    qdrant_server.script()
    fill(store)
    assert qdrant_server.records("PATCH") == []
    client = QdrantClient(url=qdrant_server.url, check_compatibility=False)
    assert set(client.get_collection("documents").payload_schema) == {"document", "collection"}
