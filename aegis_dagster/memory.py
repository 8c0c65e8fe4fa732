"""How much memory is free: of the computer and of its first GPU.

Belongs here: two readings. Does not belong here: deciding whether it is enough (`pipeline.py`).
"""

import shutil
import subprocess

import psutil


def free_memory_mb() -> float:
    """MiB that new work could use without swapping."""
    return float(psutil.virtual_memory().available) / 2**20


def free_vram_mb() -> float:
    """MiB free on the first GPU, as nvidia-smi says; 0.0 where there is no GPU or no nvidia-smi."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0.0
    command = [program, "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    first = answer.stdout.strip().splitlines()[:1]
    return float(first[0]) if first and first[0].strip().isdigit() else 0.0
