"""What the network asks of torch, done by numpy: tests have no torch. Its card has as much memory as a test says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np


def _erf(values: Any) -> Any:
    """To 1.5e-7 (Abramowitz and Stegun 7.1.26): math.erf takes one number at a time."""
    size = np.abs(values)
    step = 1 / (1 + 0.3275911 * size)
    terms = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
    total = sum(term * step ** (power + 1) for power, term in enumerate(terms))
    return np.sign(values) * (1 - total * np.exp(-size * size))


# An array with torch's methods.
_Tensor: Any = type(
    "_Tensor",
    (np.ndarray,),
    {
        "device": "cpu",
        "to": lambda self, device, kind=None, non_blocking=False: self if kind is None else self.astype(kind),
        "float": lambda self: self.astype(np.float32),
        "cpu": lambda self: self,
        "numpy": lambda self: np.asarray(self),
        "pin_memory": lambda self: self,
        "permute": lambda self, *axes: np.ndarray.transpose(self, axes),
        "transpose": lambda self, *axes: self.swapaxes(*axes),
        "view": lambda self, *shape: self.reshape(shape),
    },
)


class Card:
    """A card's memory: MiB free in all, and the rows of the widest product that fits."""

    def __init__(self, free_mb: int = 100_000, most_rows: int = 10**9, broken: str = "") -> None:
        self.free_mb, self.most_rows, self.broken = free_mb, most_rows, broken
        self.refused = self.emptied = 0

    def take(self, rows: int) -> None:
        """Raises RuntimeError as torch does."""
        if self.broken:
            raise RuntimeError(self.broken)
        if rows > self.most_rows:
            self.refused += 1
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has a total capacity of ...")

    def empty_cache(self) -> None:
        self.emptied += 1


def _tensor(array: Any) -> Any:
    return np.asarray(array).view(_Tensor)


def numpy_torch(card: Card) -> dict[str, ModuleType]:
    """The modules by name, for `sys.modules`."""

    def linear(states: Any, weight: Any, bias: Any) -> Any:
        card.take(states.shape[0] * states.shape[1])
        rows = np.asarray(states, np.float32).reshape(-1, states.shape[-1])
        product = rows @ np.asarray(weight, np.float32).T + bias
        return _tensor(product.astype(states.dtype).reshape(*states.shape[:-1], -1))

    def layer_norm(states: Any, shape: Sequence[int], scale: Any, bias: Any, epsilon: float) -> Any:
        centred = states - states.mean(-1, keepdims=True)
        return _tensor(centred / np.sqrt(states.var(-1, keepdims=True) + epsilon) * scale + bias)

    def gelu(states: Any) -> Any:
        return _tensor((states * (1 + _erf(states / math.sqrt(2))) / 2).astype(states.dtype))

    def attention(query: Any, key: Any, value: Any, attn_mask: Any) -> Any:
        scores = np.matmul(query, np.swapaxes(key, -1, -2)) / math.sqrt(query.shape[-1])
        scores = np.where(attn_mask, scores, -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        return _tensor(np.matmul(shares / shares.sum(-1, keepdims=True), value))

    torch, nn, functional = ModuleType("torch"), ModuleType("torch.nn"), ModuleType("torch.nn.functional")
    functional.__dict__.update(
        embedding=lambda ids, table: _tensor(table[ids]),
        linear=linear,
        layer_norm=layer_norm,
        gelu=gelu,
        scaled_dot_product_attention=attention,
        normalize=lambda rows, dim: _tensor(rows / np.linalg.norm(rows, axis=dim, keepdims=True)),
    )
    nn.__dict__.update(functional=functional)
    torch.__dict__.update(
        nn=nn,
        float32=np.float32,
        float16=np.float16,
        set_float32_matmul_precision=lambda precision: torch.__dict__.update(precision=precision),
        from_numpy=_tensor,
        cat=lambda parts: _tensor(np.concatenate(parts)),
        arange=lambda count, device: _tensor(np.arange(count)),
        inference_mode=nullcontext,
        cuda=SimpleNamespace(
            mem_get_info=lambda device: (card.free_mb * 2**20, 2**40),
            memory_reserved=lambda device: 0,
            memory_allocated=lambda device: 0,
            empty_cache=card.empty_cache,
        ),
    )
    return {"torch": torch, "torch.nn": nn, "torch.nn.functional": functional}
