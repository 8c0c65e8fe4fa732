"""Text coverage: the share of a document's text that its chunks contain."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

# Runs of word characters; longer ones are compared in pieces of 16, because a chunk may end inside a word that is
# longer than a chunk. `chunking/splitting.py` cuts such words at multiples of the same length.
WORD_PIECE_LENGTH = 16
_WORD = re.compile(rf"\w{{1,{WORD_PIECE_LENGTH}}}")
_SAMPLE_LENGTH = 200  # characters


@dataclass(frozen=True, slots=True)
class Coverage:
    """The share of a document's words that occur in its chunks."""

    share: float  # 0..1; 1.0 for a document without words
    missing_sample: str  # the first missing words in document order, at most 200 characters; empty: none is missing


def text_coverage(document_text: str, chunk_texts: Iterable[str]) -> Coverage:
    """Compare the multiset of lower-cased words of a document with that of its chunks.

    A word that occurs five times in the document and four times in the chunks is missing once.
    Linear in the length of the texts.
    """
    available = Counter(word for text in chunk_texts for word in _words(text))
    total = 0
    missing = []
    for word in _words(document_text):
        total += 1
        if available[word] > 0:
            available[word] -= 1
        else:
            missing.append(word)
    share = 1.0 - len(missing) / total if total else 1.0
    return Coverage(share, _sample(missing))


def _words(text: str) -> Iterable[str]:
    return (match.group().lower() for match in _WORD.finditer(text))


def _sample(words: list[str]) -> str:
    """As many of the first words as fit."""
    sample = ""
    for word in words:
        longer = f"{sample} {word}" if sample else word
        if len(longer) > _SAMPLE_LENGTH:
            break
        sample = longer
    return sample
