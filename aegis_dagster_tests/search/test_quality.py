"""The questions over the PEPs are honest, and fused search answers them best."""

import re
import tarfile
from pathlib import Path

import pytest

from aegis_dagster.domain.chunks import Chunk, LocatedChunk, locate
from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.embedding.minilm import MiniLmEmbedder
from aegis_dagster.embedding.model_files import ensure_model
from aegis_dagster.ports import VectorPoint
from aegis_dagster.settings import load_settings
from aegis_dagster.stores.vectors.bm25 import question_terms
from aegis_dagster.stores.vectors.qdrant import QdrantStore
from aegis_dagster.stores.vectors.qdrant_edge_engine import EdgeFolder
from aegis_dagster_tests.search.quality import evaluate, load_questions
from aegis_dagster_tests.support.missing import missing
from aegis_dagster_tests.support.places import PEPS


@pytest.fixture(scope="module")
def peps() -> dict[str, str]:
    """The text of every PEP by file name."""
    if not PEPS.is_file():
        missing(f"{PEPS} is missing")
    with tarfile.open(PEPS) as archive:
        members = [member for member in archive if member.isfile()]
        return {
            Path(member.name).name: file.read().decode("utf-8", "replace")
            for member in members
            if (file := archive.extractfile(member))
        }


def title_of(text: str) -> str:
    found = re.search(r"^Title:[ \t]*(.*(?:\n[ \t]+.*)*)", text, re.MULTILINE)
    assert found, text[:200]
    return found.group(1)


def openings_of(name: str, text: str) -> list[LocatedChunk]:
    """The first three passages of a PEP behind its header, under its title."""
    title, body = title_of(text), text.partition("\n\n")[2]
    parts = [body[begin : begin + 800] for begin in (0, 800, 1600) if body[begin : begin + 800].strip()]
    return locate(
        DocumentId(f"peps/{name}"), [Chunk(number, part, f"{title}\n{part}") for number, part in enumerate(parts)]
    )


def test_there_are_enough_questions_and_each_has_an_answer(peps: dict[str, str]) -> None:
    questions = load_questions()
    assert len(questions) >= 45
    assert len({question.text for question in questions}) == len(questions)
    for question in questions:
        assert question.answers
        assert question.answers <= set(peps), question


def test_no_question_repeats_the_title_of_its_pep(peps: dict[str, str]) -> None:
    repeated = []
    for question in load_questions():
        asked = set(question_terms(question.text).indices)
        for name in question.answers:
            title = set(question_terms(title_of(peps[name])).indices)
            if len(asked & title) > len(title) / 2:
                repeated.append((question.text, title_of(peps[name])))
    assert repeated == []


@pytest.mark.slow
def test_fused_search_is_the_best_of_the_three(peps: dict[str, str], tmp_path: Path) -> None:
    """On the openings of the PEPs that answer: `scripts/benchmark_search.py` takes all passages of all PEPs."""
    questions = load_questions()
    answering = sorted(set().union(*(question.answers for question in questions)))
    chunks = [chunk for name in answering for chunk in openings_of(name, peps[name])]
    settings = load_settings()
    embedder = MiniLmEmbedder(ensure_model(settings.model_cache), batch_size=settings.embed.batch_size, threads=0)
    vectors = embedder.embed_now([chunk.chunk.embedded_text for chunk in chunks])
    store = QdrantStore(
        EdgeFolder(tmp_path / "qdrant"),
        alias="peps",
        model=embedder.model,
        dimensions=embedder.dimensions,
        lock_timeout_seconds=30,
    )
    points = [
        VectorPoint(chunk, CollectionName("peps"), "f", vector) for chunk, vector in zip(chunks, vectors, strict=True)
    ]
    store.replace_documents(points, dict.fromkeys((chunk.document_id for chunk in chunks), "f"))
    found = evaluate(store, embedder, questions)
    for mode in ("dense", "sparse"):
        assert found["fused"].hit_at_1 >= found[mode].hit_at_1, found
        assert found["fused"].hit_at_5 >= found[mode].hit_at_5, found
        assert found["fused"].mrr >= found[mode].mrr, found
    assert found["fused"].hit_at_5 >= 0.85, found["fused"]
