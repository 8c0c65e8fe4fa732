"""all-MiniLM-L6-v2 on a card: hundreds of times as fast as on a CPU, in batches as its free memory allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.embedding.batches import CardFull, in_batches
from aegis_dagster.embedding.minilm import DIMENSIONS, MiniLmEmbedder
from aegis_dagster.embedding.tokens import MAX_TOKENS, open_tokenizer, token_ids
from aegis_dagster.errors import ServiceError
from aegis_dagster.ports import Vectors

FEW_TEXTS = 64  # the CPU has their vectors before torch is loaded, which takes 6 s
_TOKENISED_TOGETHER = 1024  # texts; meanwhile the card works on those before


class Network(Protocol):
    """The model on a device; see `torch_network.TorchNetwork`."""

    device: str

    def most_tokens(self) -> int: ...

    def begin(self, tokens: Sequence[Sequence[int]]) -> Any: ...

    def vectors(self, begun: Any) -> Vectors: ...

    def give_back(self) -> None: ...

    def free_mb(self) -> int: ...


class CardEmbedder:
    """Implements ports.Embedder. The network is opened when it is first needed; threads take turns."""

    dimensions: int = DIMENSIONS
    max_tokens: int = MAX_TOKENS
    texts_per_call: int = 4096
    calls_at_once: int = 1

    def __init__(
        self,
        open_network: Callable[[], Network | None],
        tokenizer_file: Path,
        model: str,
        on_cpu: MiniLmEmbedder | None = None,
    ) -> None:
        """open_network: may raise CardFull; None: there is no card after all, and `on_cpu` does everything.

        on_cpu: gives the same vectors, and takes a call of few texts as long as the network is not open.
        """
        self.model = model
        self._open_network = open_network
        self._tokenizer_file = tokenizer_file
        self._on_cpu = on_cpu
        self._turn = Lock()
        self._opened: tuple[Network | None, Any] | None = None

    @property
    def device(self) -> str:
        """Where the texts so far were embedded."""
        network = self._opened[0] if self._opened else None
        return network.device if network else "cpu"

    async def embed(self, texts: Sequence[str], asked_for: AskedFor) -> Vectors:
        """As `embed_now`, in a thread. It is free, so no account is charged."""
        return await asyncio.to_thread(self.embed_now, texts)

    def embed_now(self, texts: Sequence[str]) -> Vectors:
        """float32 of shape (len(texts), 384), rows of length 1, in the order given. Cuts texts off after 256 tokens.

        Raises ConfigurationError: there is no such card, or no model in its folder. Raises ServiceError: the card does
        not work, or its memory does not take one text.
        """
        with self._turn:
            if self._on_cpu is not None and self._opened is None and len(texts) <= FEW_TEXTS:
                return self._on_cpu.embed_now(texts)
            network: Network | None = None
            try:
                network, tokenizer = self._open()
                if network is not None:
                    return _embedded(network, tokenizer, texts)
            except CardFull as error:
                raise _too_full(network, self.model) from error
        assert self._on_cpu is not None
        return self._on_cpu.embed_now(texts)

    def _open(self) -> tuple[Network | None, Any]:
        if self._opened is None:
            network = self._open_network()
            self._opened = network, open_tokenizer(self._tokenizer_file)
        return self._opened


def _embedded(network: Network, tokenizer: Any, texts: Sequence[str]) -> Vectors:
    import numpy as np

    vectors: Vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
    begun: list[tuple[list[int], Any]] = []
    try:
        for first in range(0, len(texts), _TOKENISED_TOGETHER):
            tokens = token_ids(tokenizer, texts[first : first + _TOKENISED_TOGETHER])
            for batch, rows in in_batches(tokens, network.most_tokens(), network.begin):
                begun.append(([first + place for place in batch], rows))
        for places, rows in begun:
            vectors[places] = network.vectors(rows)
    finally:
        begun.clear()
        network.give_back()
    return vectors


def _too_full(network: Network | None, model: str) -> ServiceError:
    free = f": {network.free_mb()} MiB are free" if network else ""
    return ServiceError(
        f"The memory of the card does not take even one text for {model}{free}.",
        remedy="end other programs that use the card (`nvidia-smi` lists them), or choose another one by AEGIS_DEVICE.",
    )
