"""Texts as the token ids of all-MiniLM-L6-v2, and batches of them as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_TOKENS = 256  # with [CLS] and [SEP]; sentence_bert_config.json of the model


def open_tokenizer(file: Path) -> Any:
    """A tokenizers.Tokenizer for `token_ids`."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def token_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text, cut off after 256."""
    # The tokenizer refuses a lone surrogate (from a broken document): it becomes a question mark.
    clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(clean)]


def padded(tokens: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ids, shape (texts, tokens of the longest), filled up with [PAD], which is 0; and the lengths."""
    import numpy as np

    lengths = np.array([len(ids) for ids in tokens], dtype=np.int64)
    ids = np.zeros((len(tokens), int(lengths.max())), dtype=np.int64)
    ids[np.arange(ids.shape[1]) < lengths[:, None]] = np.fromiter(chain.from_iterable(tokens), np.int64)
    return ids, lengths
