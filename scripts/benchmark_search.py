"""Evaluates dense, sparse and fused search on the questions over the PEPs.

    .venv/bin/python -m scripts.benchmark_search HOME [--misses]

HOME is an AEGIS_HOME into which the PEPs of 2025-06-01 were ingested. Prints hit@1, hit@5 and MRR by document;
with --misses also each question whose answer is not the best hit of the fused search.
"""

import sys
from pathlib import Path

from aegis_dagster.composition.vectors import backend
from aegis_dagster.embedding.minilm import MiniLmEmbedder
from aegis_dagster.embedding.model_files import ensure_model
from aegis_dagster.settings import load_settings
from aegis_dagster.stores.vectors.qdrant import QdrantStore
from aegis_dagster_tests.search.quality import evaluate, load_questions


def main() -> None:
    arguments = [argument for argument in sys.argv[1:] if argument != "--misses"]
    if len(arguments) != 1:
        raise SystemExit(__doc__)
    settings = load_settings().model_copy(update={"home": Path(arguments[0]).absolute()})
    embedder = MiniLmEmbedder(ensure_model(settings.model_cache), batch_size=settings.embed.batch_size, threads=0)
    store = QdrantStore(
        backend(settings),
        alias=settings.qdrant.collection,
        model=embedder.model,
        dimensions=embedder.dimensions,
        lock_timeout_seconds=settings.qdrant.lock_timeout_seconds,
    )
    questions = load_questions()
    found = evaluate(store, embedder, questions)
    print(f"{len(questions)} questions, {store.count()} passages of {len(store.counts_by_document())} documents")
    print(f"{'':8} hit@1  hit@5    MRR")
    for mode, quality in found.items():
        print(f"{mode:8} {quality.hit_at_1:5.3f}  {quality.hit_at_5:5.3f}  {quality.mrr:5.3f}")
    if "--misses" in sys.argv:
        for number, question in enumerate(questions):
            ranks = {mode: quality.ranks[number] for mode, quality in found.items()}
            if ranks["fused"] != 1:
                print(f"{ranks}  {question.text}  {sorted(question.answers)}")


if __name__ == "__main__":
    main()
