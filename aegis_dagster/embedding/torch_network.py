"""all-MiniLM-L6-v2 as torch runs it, on a card or on the CPU. Import torch only here, and only in functions."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aegis_dagster.device import CPU
from aegis_dagster.embedding.batches import CardFull
from aegis_dagster.embedding.export import read_weights
from aegis_dagster.embedding.tokens import padded
from aegis_dagster.errors import ServiceError
from aegis_dagster.ports import Vectors

if TYPE_CHECKING:
    from torch import Tensor

Result = TypeVar("Result")

MOST_TOKENS = 131_072  # of a batch; a larger one is no faster (docs/performance.md)
_MOST_TOKENS_ON_CPU = 4096
# What a token takes at the peak of a layer, and not more: scores of its 12 heads, the wide layer, its states.
BYTES_PER_TOKEN = {"fp32": 64 * 1024, "fp16": 32 * 1024}
_SHARE = 0.5  # of the free memory; the rest is for whoever else uses the card
_FULL = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED")


class TorchNetwork:
    """BERT, the mean over the tokens, length 1. A card works on while the next batch is prepared."""

    def __init__(self, folder: Path, device: str, precision: str) -> None:
        """folder: `config.json` and `model.safetensors`. device: as torch writes it. precision: "fp32" or "fp16".

        Raises CardFull; ServiceError when the card does not work.
        """
        import torch

        self.device = device
        self._config = json.loads((folder / "config.json").read_text("utf-8"))
        self._bytes_per_token = BYTES_PER_TOKEN[precision]
        kind = {"fp32": torch.float32, "fp16": torch.float16}[precision]
        # Never TF32, whose mantissa has 10 bits: vectors would differ from the CPU's in the fourth digit.
        torch.set_float32_matmul_precision("highest")
        arrays = read_weights(folder / "model.safetensors")
        self._weights: dict[str, Tensor] = self._on_card(
            lambda: {name: torch.from_numpy(array.copy()).to(device, kind) for name, array in arrays.items()}
        )
        self._on_card(self._join_attention)

    def most_tokens(self) -> int:
        """How many tokens a batch may hold now, with its padding. Raises CardFull, ServiceError."""
        if self.device == CPU:
            return _MOST_TOKENS_ON_CPU
        import torch

        free, _ = self._on_card(lambda: torch.cuda.mem_get_info(self.device))
        kept = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return max(1, min(MOST_TOKENS, int((free + kept) * _SHARE) // self._bytes_per_token))

    def begin(self, tokens: Sequence[Sequence[int]]) -> Any:
        """Begin one batch; `vectors` waits for what is returned. Raises CardFull, ServiceError."""
        import torch

        ids, lengths = padded(tokens)
        with torch.inference_mode():
            return self._on_card(
                lambda: self._run(self._there(torch.from_numpy(ids)), self._there(torch.from_numpy(lengths)))
            )

    def vectors(self, begun: Any) -> Vectors:
        """The rows of a batch, float32, in its order. Raises CardFull, ServiceError."""
        rows: Vectors = self._on_card(lambda: begun.cpu().numpy())
        return rows

    def give_back(self) -> None:
        """Leave the memory that no weights are in to other processes."""
        if self.device != CPU:
            import torch

            self._on_card(torch.cuda.empty_cache)

    def free_mb(self) -> int:
        """MiB that are free on the card; 0 if it does not even say."""
        import torch

        try:
            free, _ = torch.cuda.mem_get_info(self.device)
        except RuntimeError:
            return 0
        return int(free) // 2**20

    def _there(self, array: "Tensor") -> "Tensor":
        """On the device. From pinned memory, or the copy would wait for everything that the card has begun."""
        return array if self.device == CPU else array.pin_memory().to(self.device, non_blocking=True)

    def _run(self, ids: "Tensor", lengths: "Tensor") -> "Tensor":
        import torch

        places = torch.arange(ids.shape[1], device=ids.device)
        mask = places[None, :] < lengths[:, None]
        states = self._embed(ids, places)
        for layer in range(self._config["num_hidden_layers"]):
            states = self._layer(states, mask[:, None, None, :], f"encoder.layer.{layer}")
        # The mean over the mask at length 1: the sum at length 1, since a factor makes no difference.
        total = (states.float() * mask[:, :, None]).sum(1)
        return torch.nn.functional.normalize(total, dim=1)

    def _embed(self, ids: "Tensor", places: "Tensor") -> "Tensor":
        """Words, places, and the first type, which every text is of."""
        from torch.nn import functional

        words, positions, types = (
            self._weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")
        )
        return self._norm(functional.embedding(ids, words) + positions[places] + types[0], "embeddings.LayerNorm")

    def _layer(self, states: "Tensor", mask: "Tensor", name: str) -> "Tensor":
        """Attention, then two linear maps, each with a residual connection."""
        from torch.nn import functional

        attended = self._linear(self._attention(states, mask, name), f"{name}.attention.output.dense")
        states = self._norm(attended + states, f"{name}.attention.output.LayerNorm")
        wide = functional.gelu(self._linear(states, f"{name}.intermediate.dense"))
        return self._norm(self._linear(wide, f"{name}.output.dense") + states, f"{name}.output.LayerNorm")

    def _attention(self, states: "Tensor", mask: "Tensor", name: str) -> "Tensor":
        from torch.nn import functional

        batch, length, hidden = states.shape
        heads = self._config["num_attention_heads"]
        joined = self._linear(states, f"{name}.attention.self").view(batch, length, 3, heads, hidden // heads)
        query, key, value = joined.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return mixed.transpose(1, 2).reshape(states.shape)

    def _linear(self, states: "Tensor", name: str) -> "Tensor":
        from torch.nn import functional

        return functional.linear(states, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, states: "Tensor", name: str) -> "Tensor":
        from torch.nn import functional

        scale, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return functional.layer_norm(states, scale.shape, scale, bias, self._config["layer_norm_eps"])

    def _join_attention(self) -> None:
        """Query, key and value as one map: one product instead of three."""
        import torch

        for layer in range(self._config["num_hidden_layers"]):
            name = f"encoder.layer.{layer}.attention.self"
            for kind in ("weight", "bias"):
                parts = [self._weights.pop(f"{name}.{part}.{kind}") for part in ("query", "key", "value")]
                self._weights[f"{name}.{kind}"] = torch.cat(parts)

    def _on_card(self, work: Callable[[], Result]) -> Result:
        """What `work` returns. Raises CardFull or ServiceError for a full card and for one that does not work."""
        try:
            return work()
        except RuntimeError as error:  # torch's own errors are subclasses
            said = str(error).partition("\n")[0]
            if not any(sign in said for sign in _FULL):
                if "CUDA" not in said:
                    raise
                raise ServiceError(
                    f"The card {self.device} does not work: {said}",
                    remedy="look at it with `nvidia-smi` and start again, or choose another card by AEGIS_DEVICE.",
                ) from error
        # Not within the block above: an error that knows the first one would keep what the failed work has allocated.
        raise CardFull(said)
