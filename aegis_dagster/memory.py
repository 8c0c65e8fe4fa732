"""Free and used memory of the computer and its GPUs."""

import importlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegis_dagster.errors import AegisError, ConfigurationError, ServiceError

_CGROUP = Path("/sys/fs/cgroup")
# Limit, what is used, and what of that the kernel gives back: in version 2 of control groups, and in version 1.
_LIMITS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


def free_memory_mb(cgroup: Path = _CGROUP) -> float:
    """MiB that new work could use without swapping: of the machine, or of the container's limit if that is less."""
    import psutil

    free = float(psutil.virtual_memory().available)
    within = [left for limit in _LIMITS if (left := _left_of(cgroup, *limit)) is not None]
    return min([free, *within]) / 2**20


def _left_of(cgroup: Path, limit: str, used: str, statistics: str, reclaimable: str) -> float | None:
    """Bytes left of the limit of this process's control group; None: it has none."""
    try:
        most, now = (cgroup / limit).read_text().strip(), int((cgroup / used).read_text())
        told = dict(line.split() for line in (cgroup / statistics).read_text().splitlines())
    except (OSError, ValueError):
        return None
    return float(max(0, int(most) - now + int(told.get(reclaimable, 0)))) if most.isdigit() else None


def memory_shortage(free_mb: float, needed_mb: int) -> ServiceError | None:
    """The error for work that needs more free memory than there is; None: there is enough."""
    if free_mb >= needed_mb:
        return None
    return ServiceError(
        f"{free_mb:.0f} MiB of memory are free, {needed_mb} are needed.",
        remedy="end other programs, or lower AEGIS_MEMORY_NEEDED_MB.",
    )


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU of NVIDIA, or an instance of MIG, which is a part of one."""

    name: str
    free_mb: float | None  # None: its driver does not say, as where the GPU has no memory of its own


def cards(nvml: Any = None) -> list[Card]:
    """The GPUs that this process may use; none without NVIDIA's driver. nvml: in the place of pynvml."""
    with _opened(nvml) as opened:
        return [] if opened is None else [_card(opened, device) for device in _devices(opened)]


def free_vram_mb(nvml: Any = None) -> float:
    """MiB free on the first GPU; 0.0 without one, or where its driver does not say."""
    return next((card.free_mb or 0.0 for card in cards(nvml)), 0.0)


def vram_shortage(found: Sequence[Card], wanted: int, needed_mb: int) -> AegisError | None:
    """The error for work that needs so many GPUs with so much free memory on each; None: they are there."""
    if len(found) < wanted:
        return ConfigurationError(
            f"{wanted} GPUs are wanted, and this process sees {', '.join(card.name for card in found) or 'none'}.",
            remedy="look what `nvidia-smi` lists in the container; lower `containers.gpus`, or 0 for the CPU.",
        )
    # One whose memory nobody knows is not refused.
    full = [card for card in found if card.free_mb is not None and card.free_mb < needed_mb]
    if len(found) - len(full) >= wanted:
        return None
    told = ", ".join(f"{card.name}: {card.free_mb:.0f}" for card in full)
    return ServiceError(
        f"{needed_mb} MiB must be free on each of {wanted} GPUs, but there are less (MiB): {told}.",
        remedy="end what else computes there (`nvidia-smi`), or lower AEGIS_VRAM_NEEDED_MB.",
    )


@contextmanager
def _opened(nvml: Any = None) -> Iterator[Any]:
    """NVIDIA's management library; None without its driver."""
    library = nvml or importlib.import_module("pynvml")  # imported late: few processes ask
    try:
        library.nvmlInit()
    except library.NVMLError:
        yield None
        return
    try:
        yield library
    finally:
        with suppress(library.NVMLError):
            library.nvmlShutdown()


def _devices(nvml: Any) -> Iterator[Any]:
    """Every GPU; of one that is divided, its instances, because nobody computes on the whole."""
    for index in range(_asked(nvml, nvml.nvmlDeviceGetCount) or 0):
        device = _asked(nvml, nvml.nvmlDeviceGetHandleByIndex, index)
        if device is None:
            continue
        mode = _asked(nvml, nvml.nvmlDeviceGetMigMode, device)
        if not mode or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
            yield device
            continue
        for number in range(_asked(nvml, nvml.nvmlDeviceGetMaxMigDeviceCount, device) or 0):
            instance = _asked(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex, device, number)
            if instance is not None:
                yield instance


def _card(nvml: Any, device: Any) -> Card:
    memory = _asked(nvml, nvml.nvmlDeviceGetMemoryInfo, device)
    name = _asked(nvml, nvml.nvmlDeviceGetName, device) or "GPU"
    return Card(name, None if memory is None else float(memory.free) / 2**20)


def _asked(nvml: Any, question: Callable[..., Any], *about: Any) -> Any:
    """The answer; None for what this card, its driver or this process's rights do not tell ("N/A")."""
    try:
        return question(*about)
    except nvml.NVMLError:
        return None


_SAMPLE_SECONDS = 0.25
_Vram = Callable[[set[int]], int | None]


@dataclass(slots=True)
class Peaks:
    """The largest sums seen so far."""

    memory_bytes: int = 0  # resident; a page that two processes share counts twice
    vram_bytes: int | None = None  # None: no GPU, or a driver that does not report memory by process


@contextmanager
def measured() -> Iterator[Peaks]:
    """Sample this process and its descendants while the block runs, four times a second; final after the block."""
    peaks, ended = Peaks(), threading.Event()
    thread = threading.Thread(target=_sample, args=(peaks, ended), name="aegis-peaks", daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()


def _sample(peaks: Peaks, ended: threading.Event) -> None:
    with _vram_reader() as vram:
        while True:
            last = ended.is_set()  # one more sample after the end, so that short work is seen too
            resident = _resident_bytes()
            peaks.memory_bytes = max(peaks.memory_bytes, sum(resident.values()))
            used = vram(set(resident))
            if used is not None:
                peaks.vram_bytes = max(peaks.vram_bytes or 0, used)
            if last:
                return
            ended.wait(_SAMPLE_SECONDS)


def _resident_bytes() -> dict[int, int]:
    """Resident memory by process id. A process that ends meanwhile is left out."""
    import psutil

    own = psutil.Process()
    found: dict[int, int] = {}
    processes = [own]
    with suppress(psutil.Error):
        processes += own.children(recursive=True)
    for process in processes:
        with suppress(psutil.Error):
            found[process.pid] = process.memory_info().rss
    return found


@contextmanager
def _vram_reader() -> Iterator[_Vram]:
    """Returns a function for the bytes of all GPUs that some processes use; it gives None without a GPU or driver."""
    with _opened() as nvml:
        yield (lambda pids: None) if nvml is None else _used_by(nvml)


def _used_by(nvml: Any) -> _Vram:
    def used(pids: set[int]) -> int | None:
        try:
            devices = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
            running = [one for device in devices for one in nvml.nvmlDeviceGetComputeRunningProcesses(device)]
        except nvml.NVMLError:
            return None
        ours = [one.usedGpuMemory for one in running if one.pid in pids]
        return None if not devices or None in ours else sum(ours)

    return used
