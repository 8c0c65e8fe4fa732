"""Builds MiniLM where the settings want it: on the CPU by onnxruntime, or on a card by torch."""

from aegis_dagster.device import CPU, Device, find_device, may_use_card
from aegis_dagster.embedding.minilm import IDENTITIES, MiniLmEmbedder
from aegis_dagster.embedding.model_files import MODEL, ensure_model, network_files, tokenizer_file
from aegis_dagster.embedding.on_card import CardEmbedder, Network
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.ports import Embedder
from aegis_dagster.settings import Settings


def minilm_for_questions(settings: Settings) -> MiniLmEmbedder:
    """On the CPU, which has the vector of a question before torch would be loaded."""
    folder = ensure_model(settings.model_cache)  # exported at the first use
    return MiniLmEmbedder(folder, batch_size=settings.embed.batch_size, threads=settings.embed.threads)


def device_of(settings: Settings) -> Device:
    """The device that the settings choose; may load torch.

    Raises ConfigurationError: there is no such card, or none where MiniLM needs one.
    """
    device, embed = find_device(settings.device), settings.embed
    if device.name == CPU and embed.model == MODEL and embed.precision != "fp32":
        raise ConfigurationError(
            f"embed.precision is {embed.precision}, which only a card computes, but "
            f"{device.why or 'the device is to be the CPU'}.",
            remedy="set embed.precision to fp32, or embed where a card is (docs/guides/GPU.md).",
        )
    return device


def minilm_for_documents(settings: Settings) -> Embedder:
    """On the device of the settings. torch is loaded, and the card looked for, at the first text.

    Only then is a card missed that is wanted: a step that embeds nothing may run where none is.
    """
    precision, wanted = settings.embed.precision, settings.device
    cpu = minilm_for_questions(settings)
    cpu_may = precision == "fp32" and wanted in (CPU, "auto")
    if cpu_may and not may_use_card(wanted):
        return cpu

    def open_network() -> Network | None:
        from aegis_dagster.embedding.torch_network import TorchNetwork

        device = device_of(settings)
        return None if device.name == CPU else TorchNetwork(network_files(), device.name, precision)

    tokenizer = tokenizer_file(settings.model_cache)
    return CardEmbedder(open_network, tokenizer, IDENTITIES[precision], on_cpu=cpu if cpu_may else None)
