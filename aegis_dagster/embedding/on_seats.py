"""MiniLM in workers, which may be on other machines with cards of their own. Implements `ports.Embedder`."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.embedding.minilm import DIMENSIONS, IDENTITIES
from aegis_dagster.embedding.tokens import MAX_TOKENS
from aegis_dagster.ports import TaskRunner, Vectors

EMBED_TASK = "embed"
_SECONDS = 1800.0  # for the texts of one call, on a CPU that is slow


class SeatEmbedder:
    """Sends texts to workers."""

    dimensions: int = DIMENSIONS
    max_tokens: int = MAX_TOKENS
    texts_per_call: int = 1024

    def __init__(self, runner: TaskRunner, folder: Path, *, seats: int, precision: str, **options: Any) -> None:
        """folder: of the exported model. options: `device`, `batch_size` and `threads`, as the task takes them."""
        self.model = IDENTITIES[precision]
        self.calls_at_once = seats
        self.device = ""
        self._runner = runner
        self._payload = {"model": str(folder), "precision": precision, **options}

    async def embed(self, texts: Sequence[str], asked_for: AskedFor) -> Vectors:
        """See `ports.Embedder`. It is free, so no account is charged."""
        import numpy as np

        payload = {**self._payload, "texts": list(texts)}
        answer = await self._runner.run(EMBED_TASK, payload, timeout_seconds=_SECONDS)
        self.device = answer["device"]
        rows = np.frombuffer(base64.b64decode(answer["vectors"]), dtype=np.float32)
        vectors: Vectors = rows.reshape(len(texts), DIMENSIONS)
        return vectors
