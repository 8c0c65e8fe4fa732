"""all-MiniLM-L6-v2 on onnxruntime: texts to vectors without torch."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.embedding.export import MODEL_FILE, TOKENIZER_FILE
from aegis_dagster.embedding.model_files import EXPORT_VERSION, MODEL
from aegis_dagster.embedding.tokens import MAX_TOKENS, open_tokenizer, padded, token_ids
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.ports import Vectors

DIMENSIONS = 384
# The model's name with the version of its vectors, which are the same on every device, by precision.
IDENTITIES = {"fp32": f"{MODEL}/onnx-{EXPORT_VERSION}", "fp16": f"{MODEL}/fp16-{EXPORT_VERSION}"}


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The open model."""

    session: Any  # onnxruntime.InferenceSession
    tokenizer: Any  # tokenizers.Tokenizer


class MiniLmEmbedder:
    """Implements ports.Embedder. The model is opened at the first text; `embed_now` may be called by many threads."""

    model: str = IDENTITIES["fp32"]
    device: str = "cpu"
    dimensions: int = DIMENSIONS
    max_tokens: int = MAX_TOKENS
    texts_per_call: int = 128
    calls_at_once: int = 2  # their inferences share the cores: none waits for the last one of a call

    def __init__(self, model_dir: Path, *, batch_size: int, threads: int) -> None:
        """`model_dir`: from `ensure_model`. `batch_size`: texts per inference.

        `threads`: inferences side by side, each on one core; 0: as many as there are cores. Small ones side by side
        stay in the cores' caches: 20-23 texts/s against 15.6-17 with 32 texts on two cores (docs/performance.md).
        """
        self._model_dir = model_dir
        self._batch_size = batch_size
        self._side_by_side = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="inference")
        self._opening = Lock()
        self._loaded: _Loaded | None = None

    async def embed(self, texts: Sequence[str], asked_for: AskedFor) -> Vectors:
        """As `embed_now`, in a thread. It is free, so no account is charged."""
        return await asyncio.to_thread(self.embed_now, texts)

    def embed_now(self, texts: Sequence[str]) -> Vectors:
        """float32 of shape (len(texts), 384), rows of length 1, in the order given.

        Cuts texts off after 256 tokens. Raises ConfigurationError if the model is not in its folder.
        """
        import numpy as np

        vectors: Vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
        if not texts:
            return vectors
        loaded = self._open()
        tokens = token_ids(loaded.tokenizer, texts)
        # Texts of similar length share an inference, so that little of it is padding; the longest come first, so that
        # memory reaches its peak at once.
        order = sorted(range(len(tokens)), key=lambda index: -len(tokens[index]))
        batches = [order[start : start + self._batch_size] for start in range(0, len(order), self._batch_size)]
        runs = self._side_by_side.map(lambda batch: _run(loaded.session, [tokens[index] for index in batch]), batches)
        for batch, rows in zip(batches, runs, strict=True):
            vectors[batch] = rows
        return vectors

    def _open(self) -> _Loaded:
        with self._opening:
            if self._loaded is None:
                self._loaded = _load(self._model_dir)
            return self._loaded


def _load(model_dir: Path) -> _Loaded:
    import onnxruntime

    if not (model_dir / MODEL_FILE).is_file():
        raise ConfigurationError(
            f"There is no embedding model in {model_dir}.",
            remedy="run `aegis doctor`, which exports it, or set AEGIS_MODEL_CACHE to where it is.",
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # Shapes differ between inferences: a memory plan of the last one does not fit the next.
    options.enable_mem_pattern = False
    session = onnxruntime.InferenceSession(str(model_dir / MODEL_FILE), options, providers=["CPUExecutionProvider"])
    return _Loaded(session, open_tokenizer(model_dir / TOKENIZER_FILE))


def _run(session: Any, tokens: Sequence[Sequence[int]]) -> Vectors:
    """One inference over texts as token ids, padded to the longest."""
    import numpy as np

    ids, lengths = padded(tokens)
    mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
    result: Vectors = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
    return result
