"""BM25 term weights of a text as a sparse vector, without a model or a download.

A score is the sum of idf(term) * weight(term, passage) over the question's terms, with the weight of Robertson and
Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), section 3.4, times K1 + 1.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

# Saturation and length normalisation: the defaults of Lucene, Elasticsearch and Qdrant's own Bm25.
K1 = 1.2
B = 0.75
SPARSE_VERSION = "bm25-2"  # increase it when terms or weights change; every point is then written again
# Terms of an average passage. Fixed, so that equal texts have equal vectors whatever else is stored. Measured: 84
# in the passages longer than 500 characters of the 692 PEPs of 2025-06-01. Values from 85 to 256 answer the same
# questions.
AVERAGE_TERMS = 85


@dataclass(frozen=True, slots=True)
class SparseTerms:
    """A sparse vector: parallel tuples, indices ascending and unique."""

    indices: tuple[int, ...]  # 32-bit hash of a term
    values: tuple[float, ...]  # its weight


def passage_terms(text: str) -> SparseTerms:
    """The BM25 weights of a passage's terms, without IDF. Empty for a text without terms.

    What only helps to find a word (function words, parts of words) does not count for the passage's length.
    """
    from aegis_dagster.stores.vectors.words import STOP_WORDS, passage_words

    terms, others = passage_words(text)
    counts = Counter(terms)
    length = sum(count for term, count in counts.items() if term not in STOP_WORDS)
    counts.update(others)
    norm = K1 * (1 - B + B * length / AVERAGE_TERMS)
    return _vector({term: count * (K1 + 1) / (count + norm) for term, count in counts.items()})


def question_terms(text: str) -> SparseTerms:
    """The terms of a question, each with weight 1: the store multiplies them by IDF.

    Function words are left out unless it has nothing else: "who" and "IT" are also names.
    """
    from aegis_dagster.stores.vectors.words import STOP_WORDS, question_words

    asked = dict.fromkeys(question_words(text), 1.0)
    return _vector({term: weight for term, weight in asked.items() if term not in STOP_WORDS} or asked)


def _vector(weights: dict[str, float]) -> SparseTerms:
    """Terms by their numbers. Of two terms with the same number (1 in 4 billion) the larger weight is kept."""
    numbered = dict(zip(map(_number, weights), weights.values(), strict=True))
    if len(numbered) < len(weights):
        for term, weight in weights.items():
            numbered[_number(term)] = max(weight, numbered[_number(term)])
    indices = sorted(numbered)
    return SparseTerms(tuple(indices), tuple(map(numbered.__getitem__, indices)))


@lru_cache(maxsize=1 << 16)
def _number(term: str) -> int:
    """A term's number: the same in every process and version, and on every machine."""
    return int.from_bytes(hashlib.blake2b(term.encode("utf-8", "replace"), digest_size=4).digest(), "big")
