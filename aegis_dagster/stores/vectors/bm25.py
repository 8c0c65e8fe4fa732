"""BM25 term weights of a text as a sparse vector, without a model or a download.

A score is the sum of idf(term) * weight(term, passage) over the question's terms, with the weight of Robertson and
Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), section 3.4, times K1 + 1.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from py_rust_stemmers import SnowballStemmer

# Saturation and length normalisation: the defaults of Lucene, Elasticsearch and Qdrant's own Bm25.
K1 = 1.2
B = 0.75
SPARSE_VERSION = "bm25-1"  # increase it when terms or weights change; every point is then written again
# Terms of an average passage. Fixed, so that equal texts have equal vectors whatever else is stored. Measured: 84
# in the passages longer than 500 characters of the 692 PEPs of 2025-06-01. Values from 85 to 256 answer the same
# questions.
AVERAGE_TERMS = 85

# Lucene's EnglishAnalyzer.ENGLISH_STOP_WORDS_SET, question words, and the fragments that apostrophes leave in
# contractions.
_FUNCTION_WORDS = """
a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to
was will with
am can could did do does doing had has have having how i me my our should so than them those us we were what when
where which who whom whose why would you your
s t d ll m re ve don doesn didn isn aren wasn weren won wouldn shouldn couldn
"""
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())

_STEMMER = SnowballStemmer("english")

# A run of word characters, joined by dots and hyphens inside it: `__init__`, `asyncio.run`, `pep-0484`, `3.12`.
_COMPOUND = re.compile(r"\w+(?:[.\-]\w+)*")
# The parts of a compound: words of one case, words that begin with a capital, numbers.
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\dA-Z_]+|\d+")


@dataclass(frozen=True, slots=True)
class SparseTerms:
    """A sparse vector: parallel tuples, indices ascending and unique."""

    indices: tuple[int, ...]  # 32-bit hash of a term
    values: tuple[float, ...]  # its weight


def passage_terms(text: str) -> SparseTerms:
    """The BM25 weights of a passage's terms, without IDF. Empty for a text without terms."""
    counts = Counter(_terms(text))
    length = sum(counts.values())
    norm = K1 * (1 - B + B * length / AVERAGE_TERMS)
    return _vector({term: count * (K1 + 1) / (count + norm) for term, count in counts.items()})


def question_terms(text: str) -> SparseTerms:
    """The terms of a question, each with weight 1: the store multiplies them by IDF."""
    return _vector(dict.fromkeys(_terms(text), 1.0))


def _vector(weights: dict[str, float]) -> SparseTerms:
    """Terms by their numbers. Of two terms with the same number (1 in 4 billion) the larger weight is kept."""
    numbered: dict[int, float] = {}
    for term, weight in weights.items():
        number = _number(term)
        numbered[number] = max(weight, numbered.get(number, 0.0))
    indices = sorted(numbered)
    return SparseTerms(tuple(indices), tuple(numbered[index] for index in indices))


@lru_cache(maxsize=1 << 16)
def _number(term: str) -> int:
    """A term's number: the same in every process and version, and on every machine."""
    return int.from_bytes(hashlib.blake2b(term.encode("utf-8", "replace"), digest_size=4).digest(), "big")


def _terms(text: str) -> Iterator[str]:
    """The terms of a text in order, without stop words.

    A compound counts both whole and in parts, so that `asyncio.run` is found by its full name and by either word.
    """
    for compound in _COMPOUND.findall(text):
        yield from _compound_terms(compound)


@lru_cache(maxsize=1 << 16)
def _compound_terms(compound: str) -> Sequence[str]:
    parts = _PARTS.findall(compound)
    if [compound] == parts or [compound.lower()] == [part.lower() for part in parts]:
        term = _term(compound.lower())
        return (term,) if term else ()
    terms = [_term(part.lower()) for part in parts]
    return (compound.lower(), *(term for term in terms if term))


def _term(word: str) -> str:
    """The stem of a lower-case word, a number without leading zeros, or "" for a stop word."""
    if word in STOP_WORDS:
        return ""
    if word.isdigit():
        return word.lstrip("0") or "0"
    stem: str = _STEMMER.stem_word(word)
    return stem
