"""Questions in many scripts, for identifiers and for parts of words, over the small texts beside the project."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from aegis_dagster.domain.chunks import Chunk, locate
from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.embedding.minilm import MiniLmEmbedder
from aegis_dagster.embedding.model_files import ensure_model
from aegis_dagster.ports import VectorPoint
from aegis_dagster.settings import load_settings
from aegis_dagster.stores.vectors.qdrant import QdrantStore
from aegis_dagster.stores.vectors.qdrant_edge_engine import EdgeFolder
from aegis_dagster_tests.support.missing import missing
from aegis_dagster_tests.support.places import CORPORA

FAULTS = CORPORA / "faults"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[QdrantStore, MiniLmEmbedder]]:
    """Every text as one passage."""
    if not FAULTS.is_dir():
        missing(f"{FAULTS} is missing")
    settings = load_settings()
    embedder = MiniLmEmbedder(ensure_model(settings.model_cache), batch_size=settings.embed.batch_size, threads=0)
    store = QdrantStore(
        EdgeFolder(tmp_path_factory.mktemp("scripts") / "qdrant"),
        alias="scripts",
        model=embedder.model,
        dimensions=embedder.dimensions,
        lock_timeout_seconds=30,
    )
    texts = {
        DocumentId(file.name): file.read_text("utf-8") for file in sorted((FAULTS / "documents/22-search").iterdir())
    }
    chunks = [chunk for name, text in texts.items() for chunk in locate(name, [Chunk(0, text, text)])]
    vectors = embedder.embed_now([chunk.chunk.embedded_text for chunk in chunks])
    points = [
        VectorPoint(chunk, CollectionName("c"), "f", vector) for chunk, vector in zip(chunks, vectors, strict=True)
    ]
    store.replace_documents(points, dict.fromkeys(texts, "f"))
    yield store, embedder


def questions_of(file: Path) -> list[tuple[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(row[0], row[1]) for row in rows if not row[0].startswith("#")]


def test_words_find_their_document_first_and_with_meaning_within_three(
    stored: tuple[QdrantStore, MiniLmEmbedder],
) -> None:
    store, embedder = stored
    asked = questions_of(FAULTS / "queries.tsv")
    assert len(asked) >= 20
    vectors = embedder.embed_now([question for question, _ in asked])
    wrong = []
    for (question, answer), vector in zip(asked, vectors, strict=True):
        by_words = [hit.document_id for hit in store.search(question, None, limit=1, mode="sparse")]
        fused = [hit.document_id for hit in store.search(question, vector, limit=3, mode="fused")]
        if by_words != [answer] or answer not in fused:
            wrong.append((question, answer, by_words, fused))
    assert wrong == []
