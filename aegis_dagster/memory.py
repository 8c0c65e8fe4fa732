"""Free and used memory of the computer and its GPUs."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from aegis_dagster.errors import ServiceError


def free_memory_mb() -> float:
    """MiB that new work could use without swapping."""
    import psutil

    return float(psutil.virtual_memory().available) / 2**20


def memory_shortage(free_mb: float, needed_mb: int) -> ServiceError | None:
    """The error for work that needs more free memory than there is; None: there is enough."""
    if free_mb >= needed_mb:
        return None
    return ServiceError(
        f"{free_mb:.0f} MiB of memory are free, {needed_mb} are needed.",
        remedy="end other programs, or lower AEGIS_MEMORY_NEEDED_MB.",
    )


def free_vram_mb() -> float:
    """MiB free on the first GPU, as nvidia-smi says; 0.0 without a GPU or nvidia-smi."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0.0
    command = [program, "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    first = answer.stdout.strip().splitlines()[:1]
    return float(first[0]) if first and first[0].strip().isdigit() else 0.0


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
    import pynvml  # imported late: only runs that push gauges need it

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield lambda pids: None
        return

    def used(pids: set[int]) -> int | None:
        try:
            devices = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
            running = [one for device in devices for one in pynvml.nvmlDeviceGetComputeRunningProcesses(device)]
        except pynvml.NVMLError:
            return None
        ours = [one.usedGpuMemory for one in running if one.pid in pids]
        return None if not devices or None in ours else sum(ours)

    try:
        yield used
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()
