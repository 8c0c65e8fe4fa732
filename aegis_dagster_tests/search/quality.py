"""How well a store answers the questions over the PEPs: used by a test and by `scripts/benchmark_search.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from aegis_dagster.embedding.minilm import MiniLmEmbedder
from aegis_dagster.ports import Vectors
from aegis_dagster.stores.vectors.qdrant import QdrantStore

QUESTIONS = Path(__file__).with_name("pep_questions.yaml")
MODES = ("dense", "sparse", "fused")
_DEPTH = 50  # passages looked at for one question


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the names of the PEP files that answer it."""

    text: str
    answers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Quality:
    """How one mode did, over all questions, by document."""

    hit_at_1: float  # share of questions whose best document answers them
    hit_at_5: float  # ... that have an answer among the best five documents
    mrr: float  # mean of 1 / rank of the first document that answers; 0 where none of the passages looked at does
    ranks: tuple[int, ...]  # of the first document that answers each question; 0: none

    @staticmethod
    def of(ranks: Sequence[int]) -> "Quality":
        questions = len(ranks)
        return Quality(
            hit_at_1=sum(rank == 1 for rank in ranks) / questions,
            hit_at_5=sum(1 <= rank <= 5 for rank in ranks) / questions,
            mrr=sum(1 / rank for rank in ranks if rank) / questions,
            ranks=tuple(ranks),
        )


def load_questions() -> list[Question]:
    """The questions of `pep_questions.yaml`."""
    entries = yaml.safe_load(QUESTIONS.read_text("utf-8"))
    return [Question(entry["question"], frozenset(entry["answers"])) for entry in entries]


def evaluate(store: QdrantStore, embedder: MiniLmEmbedder, questions: Sequence[Question]) -> dict[str, Quality]:
    """The quality of every mode. Documents are compared by file name, wherever the PEPs lie below the root."""
    vectors = embedder.embed_now([question.text for question in questions])
    with store.opened():
        return {
            mode: Quality.of(
                [_rank(store, question, vector, mode) for question, vector in zip(questions, vectors, strict=True)]
            )
            for mode in MODES
        }


def _rank(store: QdrantStore, question: Question, vector: Vectors, mode: str) -> int:
    """Which of the documents found, 1-based, is the first that answers; 0: none."""
    hits = store.search(question.text, vector, limit=_DEPTH, mode=mode)
    documents = list(dict.fromkeys(PurePosixPath(hit.document_id).name for hit in hits))
    return next((rank for rank, name in enumerate(documents, start=1) if name in question.answers), 0)
