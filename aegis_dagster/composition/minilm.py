"""Builds MiniLM where the settings want it: on the CPU by onnxruntime, or on a card by torch."""

from aegis_dagster.device import Device, find_device
from aegis_dagster.embedding.minilm import MiniLmEmbedder
from aegis_dagster.embedding.model_files import MODEL, ensure_model
from aegis_dagster.embedding.on_seats import SeatEmbedder
from aegis_dagster.embedding.tasks import device_for, minilm
from aegis_dagster.ports import Embedder, TaskRunner
from aegis_dagster.settings import Settings


def minilm_for_questions(settings: Settings) -> MiniLmEmbedder:
    """On the CPU, which has the vector of a question before torch would be loaded."""
    folder = ensure_model(settings.model_cache)  # exported at the first use
    return MiniLmEmbedder(folder, batch_size=settings.embed.batch_size, threads=settings.embed.threads)


def device_of(settings: Settings) -> Device:
    """The device that the settings choose; may load torch.

    Raises ConfigurationError: there is no such card, or none where MiniLM needs one.
    """
    if settings.embed.model != MODEL:
        return find_device(settings.device)
    return device_for(settings.device, settings.embed.precision)


def minilm_for_documents(settings: Settings) -> Embedder:
    """On the device of the settings, in this process. See `embedding.tasks.minilm`."""
    embed = settings.embed
    return minilm(
        ensure_model(settings.model_cache),
        device=settings.device,
        precision=embed.precision,
        batch_size=embed.batch_size,
        threads=embed.threads,
    )


def minilm_on_seats(settings: Settings, runner: TaskRunner) -> Embedder:
    """On the seats of `workers.embed`."""
    embed = settings.embed
    return SeatEmbedder(
        runner,
        ensure_model(settings.model_cache),
        seats=settings.workers.seats,
        precision=embed.precision,
        device=settings.device,
        batch_size=embed.batch_size,
        threads=embed.threads,
    )
