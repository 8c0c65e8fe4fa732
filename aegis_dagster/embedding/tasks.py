"""MiniLM for documents: on the CPU by onnxruntime or on a card by torch; and the task with which a seat embeds."""

import base64
from functools import lru_cache
from pathlib import Path
from typing import Any

from aegis_dagster.device import CPU, Device, find_device, may_use_card
from aegis_dagster.embedding.export import TOKENIZER_FILE
from aegis_dagster.embedding.minilm import IDENTITIES, MiniLmEmbedder
from aegis_dagster.embedding.model_files import network_files
from aegis_dagster.embedding.on_card import CardEmbedder, Network
from aegis_dagster.errors import ConfigurationError


def minilm(
    folder: Path, *, device: str, precision: str, batch_size: int, threads: int
) -> MiniLmEmbedder | CardEmbedder:
    """The embedder. torch is loaded, and the card looked for, at the first text.

    Only then is a card missed that is wanted: a step that embeds nothing may run where none is.
    """
    cpu = MiniLmEmbedder(folder, batch_size=batch_size, threads=threads)
    cpu_may = precision == "fp32" and device in (CPU, "auto")
    if cpu_may and not may_use_card(device):
        return cpu

    def open_network() -> Network | None:
        from aegis_dagster.embedding.torch_network import TorchNetwork

        found = device_for(device, precision)
        return None if found.name == CPU else TorchNetwork(network_files(), found.name, precision)

    return CardEmbedder(open_network, folder / TOKENIZER_FILE, IDENTITIES[precision], on_cpu=cpu if cpu_may else None)


def device_for(wanted: str, precision: str) -> Device:
    """The device that the setting stands for; may load torch.

    Raises ConfigurationError: there is no such card, or none where MiniLM needs one.
    """
    device = find_device(wanted)
    if device.name == CPU and precision != "fp32":
        raise ConfigurationError(
            f"embed.precision is {precision}, which only a card computes, but "
            f"{device.why or 'the device is to be the CPU'}.",
            remedy="set embed.precision to fp32, or embed where a card is (docs/guides/GPU.md).",
        )
    return device


def embed_task(payload: dict[str, Any]) -> dict[str, Any]:
    """Embed `texts`: {"vectors": float32 in base64, row by row, "device"}. Runs in a worker.

    payload: `model` (the folder with the exported model), and `device`, `precision`, `batch_size`, `threads`.
    """
    options = {name: payload[name] for name in ("device", "precision", "batch_size", "threads")}
    embedder = _embedder(payload["model"], **options)
    vectors = embedder.embed_now(payload["texts"])
    return {"vectors": base64.b64encode(vectors.tobytes()).decode("ascii"), "device": embedder.device}


@lru_cache(maxsize=1)
def _embedder(folder: str, **options: Any) -> MiniLmEmbedder | CardEmbedder:
    return minilm(Path(folder), **options)
