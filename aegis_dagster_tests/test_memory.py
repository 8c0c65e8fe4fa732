"""Free memory of machines, containers and cards that say different things about themselves."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pynvml
import pytest

from aegis_dagster.defs.containers.room import require_room
from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import ConfigurationError, ServiceError
from aegis_dagster.memory import Card, cards, free_memory_mb, free_vram_mb, vram_shortage
from aegis_dagster.settings import Settings

NOTHING = Path("/nonexistent")


class Nvml:
    """NVIDIA's management library over cards that are written down: MiB free, "N/A", a list for MIG."""

    NVMLError = pynvml.NVMLError
    NVML_DEVICE_MIG_ENABLE = pynvml.NVML_DEVICE_MIG_ENABLE

    def __init__(self, *devices: Any, has_driver: bool = True) -> None:
        self.devices, self.has_driver = devices, has_driver

    def nvmlInit(self) -> None:
        if not self.has_driver:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    def nvmlShutdown(self) -> None:
        return

    def nvmlDeviceGetCount(self) -> int:
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        return self.devices[index]

    def nvmlDeviceGetMigMode(self, device: Any) -> list[int]:
        if device == "N/A":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [int(isinstance(device, list))] * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, device: Any) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Any, number: int) -> Any:
        if number >= len(device):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return device[number]

    def nvmlDeviceGetMemoryInfo(self, device: Any) -> Any:
        if device == "N/A":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(free=device * 2**20)

    def nvmlDeviceGetName(self, device: Any) -> str:
        return f"card of {device}"


@pytest.mark.parametrize(
    ("nvml", "free"),
    [
        (Nvml(has_driver=False), []),
        (Nvml(), []),
        (Nvml(700, 9_000), [700, 9_000]),
        (Nvml("N/A"), [None]),  # it shares the machine's memory
        (Nvml([4_000, 50], 300), [4_000, 50, 300]),  # the first is divided
    ],
)
def test_every_card_and_every_part_of_a_divided_one_counts(nvml: Nvml, free: list[float | None]) -> None:
    assert [card.free_mb for card in cards(nvml)] == free
    assert free_vram_mb(nvml) == ((free or [0])[0] or 0)


@pytest.mark.parametrize(
    ("free", "wanted", "told"),
    [
        ([], 0, None),
        ([2_000], 1, None),
        ([None], 1, None),
        ([100, 2_000], 1, None),
        ([100, 2_000, None], 2, None),
        ([100, 2_000], 2, ServiceError),  # who else computes there may end
        ([2_000], 2, ConfigurationError),
        ([], 1, ConfigurationError),
    ],
)
def test_a_step_wants_so_many_cards_with_so_much_free(
    free: list[float | None], wanted: int, told: type[Exception] | None
) -> None:
    shortage = vram_shortage([Card(f"card {at}", mb) for at, mb in enumerate(free)], wanted, 1_000)
    assert (shortage and type(shortage)) is told


def test_only_stages_with_a_card_need_its_memory() -> None:
    settings = Settings.model_validate({"containers": {"image": "x", "steps": {"graph": {"gpus": 2}}}})
    require_room(settings, Stage.CHUNK, Nvml())
    require_room(settings, Stage.EMBED, Nvml(5_000))
    with pytest.raises(ServiceError, match="AEGIS_VRAM_NEEDED_MB"):
        require_room(settings, Stage.EMBED, Nvml(500))
    with pytest.raises(ConfigurationError, match="2 GPUs are wanted, and this process sees card of 5000"):
        require_room(settings, Stage.GRAPH, Nvml(5_000))
    with pytest.raises(ServiceError, match="AEGIS_MEMORY_NEEDED_MB"):
        require_room(settings.model_copy(update={"memory_needed_mb": 10**9}), Stage.CHUNK)


@pytest.mark.parametrize(
    ("files", "free"),
    [
        (
            {
                "memory.max": "1048576000",
                "memory.current": "1038576000",
                "memory.stat": "anon 1\ninactive_file 38576000",
            },
            46,
        ),
        ({"memory.max": "max", "memory.current": "5", "memory.stat": "inactive_file 0"}, None),
        (
            {
                "memory/memory.limit_in_bytes": "104857600",
                "memory/memory.usage_in_bytes": "104857600",
                "memory/memory.stat": "total_inactive_file 1048576",
            },
            1,
        ),
        ({"memory.max": "broken"}, None),
        ({}, None),
    ],
)
def test_a_container_has_what_its_limit_leaves(tmp_path: Path, files: dict[str, str], free: int | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    found = free_memory_mb(tmp_path)
    if free is None:
        assert found == pytest.approx(psutil.virtual_memory().available / 2**20, rel=0.5)
    else:
        assert round(found) == free
