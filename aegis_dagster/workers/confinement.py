"""Confines a worker process before it sees a document: what a hostile file makes of a parser reaches nothing else.

Each wall stands alone, and is left out where the kernel refuses it; `aegis doctor` tells which stand. None needs root.
Outside Linux only the limits and the ban on programs stand.
"""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

from aegis_dagster.device import has_nvidia
from aegis_dagster.errors import ServiceError
from aegis_dagster.workers import kernel

_MEGABYTE = 1024 * 1024
_LARGEST_FILE_MB = 1024
_THREADS = 512
_COUNTS_APART = (5, 14)  # from this kernel on, a user namespace counts its threads alone, not all that its user runs
# What the libraries and their models need beyond a task's memory; the pool ends a worker at its limit of resident
# memory, and this ends one allocation that is larger than that at once.
_BASE_MB = 1024
_MAPPED_MB = 16 * 1024  # addresses without memory of their own: libraries, models, the heaps that threads reserve
# What a program of this machine reads: libraries, fonts, how the machine is set up; no documents and no keys.
_FOR_PROGRAMS = (
    *("/usr", "/lib", "/lib64", "/var/cache/fontconfig", "/var/lib/libreoffice", "/var/spool/libreoffice"),
    *("/etc/fonts", "/etc/libreoffice", "/etc/ld.so.cache", "/etc/locale.alias", "/etc/localtime"),
    *("/etc/passwd", "/etc/nsswitch.conf", "/proc", "/sys", "/dev/null", "/dev/urandom", "/dev/random", "/dev/zero"),
)
_SPAWNS = frozenset({"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"})


class Wall(StrEnum):
    """What keeps a worker from something."""

    NETWORK = "network"  # a network of its own, without any device
    CALLS = "calls"  # no sockets, programs, processes, and no look into other processes
    FILES = "files"  # it writes only where it is told to, and signals and reads no other process


def confine(memory_mb: int, writable: Sequence[str]) -> list[Wall]:
    """Confine this process, which may have one thread, for the rest of its life. Returns the walls that stand.

    writable: folders that it may write to; none: every folder.
    """
    own_user = False
    standing: list[Wall] = []
    _limit(memory_mb)
    sys.addaudithook(_refuse_programs)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            kernel.die_with_parent()
        with contextlib.suppress(OSError):
            own_user = kernel.leave_network()
            standing.append(Wall.NETWORK)
        if os.geteuid() == 0 or (own_user and kernel.version() >= _COUNTS_APART):
            _lower(resource.RLIMIT_NPROC, _THREADS)
        walls: list[tuple[Wall, Callable[[], None]]] = [
            (Wall.FILES, lambda: kernel.restrict_files(writable)),
            (Wall.CALLS, lambda: kernel.refuse_calls(local_socket=has_nvidia())),
        ]
        with contextlib.suppress(OSError):
            kernel.drop_rights()
        for wall, build in walls:
            with contextlib.suppress(OSError):
                build()
                standing.append(wall)
    return standing


def confine_program(memory_mb: int, folder: Path, program: Path) -> None:
    """Confine this process, which is to become a program: it writes in the folder and reads what is installed.

    Each wall stands alone, as in `confine`; but where calls cannot be refused, LibreOffice needs files elsewhere.
    """
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, _LARGEST_FILE_MB * _MEGABYTE)
    _lower(resource.RLIMIT_DATA, 2 * memory_mb * _MEGABYTE)  # what it holds is watched; this ends one large allocation
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        kernel.die_with_parent()
    with contextlib.suppress(OSError):
        kernel.leave_network()
    with contextlib.suppress(OSError):
        kernel.drop_rights(all_of_them=True)
    with contextlib.suppress(OSError):
        kernel.refuse_calls(of_program=True)
        kernel.restrict_files([str(folder)], [str(program.parent.parent), *_FOR_PROGRAMS])


def walls_here() -> list[Wall]:
    """The walls that stand around a worker on this machine: one is built to see. Raises ServiceError."""
    command = [sys.executable, "-P", "-m", "aegis_dagster.workers.confinement"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return [Wall(name) for name in json.loads(done.stdout)]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise ServiceError(f"A worker process cannot be started: {error}", remedy="free memory; try again.") from error


def end_group() -> NoReturn:
    """End this process and all that it has started."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _limit(memory_mb: int) -> None:
    _lower(resource.RLIMIT_CORE, 0)  # a core file holds the document
    _lower(resource.RLIMIT_FSIZE, _LARGEST_FILE_MB * _MEGABYTE)
    data_mb = 2 * memory_mb + _BASE_MB
    _lower(resource.RLIMIT_DATA, data_mb * _MEGABYTE)
    if not has_nvidia():  # CUDA reserves addresses for the memory of the machine and its GPUs
        _lower(resource.RLIMIT_AS, (data_mb + _MAPPED_MB) * _MEGABYTE)


def _lower(limit: int, most: int) -> None:
    held = [one for one in resource.getrlimit(limit) if one != resource.RLIM_INFINITY]
    most = min(most, *held) if held else most
    with contextlib.suppress(OSError, ValueError):  # macOS has limits that it does not take
        resource.setrlimit(limit, (most, most))


def _refuse_programs(event: str, _: object) -> None:
    """docling starts LibreOffice, where there is one, for old formats, charts and drawings."""
    if event in _SPAWNS:
        raise PermissionError("A worker starts no programs.")


if __name__ == "__main__":
    print(json.dumps(confine(memory_mb=1024, writable=["/"])))  # noqa: T201
