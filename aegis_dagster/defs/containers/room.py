"""Looks before a step in a container works whether it got the memory and the GPUs that it needs."""

from typing import Any

from aegis_dagster.domain.stages import Stage
from aegis_dagster.memory import cards, free_memory_mb, memory_shortage, vram_shortage
from aegis_dagster.settings import Settings


def require_room(settings: Settings, stage: Stage, nvml: Any = None) -> None:
    """Raises ConfigurationError if there are fewer GPUs than wanted, ServiceError if there is too little memory now."""
    if shortage := memory_shortage(free_memory_mb(), settings.memory_needed_mb):
        raise shortage
    gpus = settings.containers.gpus_of(stage)
    if gpus and (lacking := vram_shortage(cards(nvml), gpus, settings.vram_needed_mb)):
        raise lacking
