"""Identifies the process that holds a lease or executes a run, and tells whether it is still alive.

Process ids are reused, so an owner also contains its process's start time. On Linux that is the time since boot,
together with the boot id: setting the clock, by hand or after a virtual machine was resumed, changes nothing.
Elsewhere it is the time of day.

A container counts its processes anew, and with the network of its host it also has the host's name. So the name of the
host is followed there by the container's own number: nobody outside takes its processes for others that have ended.
"""

import os
import re
import shutil
import socket
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

_OWNER = re.compile(r"(?P<host>[^|]+)\|(?P<pid>[1-9]\d{0,8})\|(?P<began>[0-9a-f-]{36}:\d+|\d+\.\d\d)\|[^|]+")
_IN_PATHS = "~"  # LibreOffice takes a `|` in a path for the end of it
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # Linux: a new id after each boot
_PROCESSES = Path("/proc/self/ns/pid")  # Linux: the processes that this one can see
_OF_THE_MACHINE = "pid:[4026531836]"  # all of them; the number is fixed in the kernel
_STATE, _START_TICKS = 0, 19  # positions in /proc/PID/stat after the name: its fields 3 and 22
_ENDED = (b"Z", b"X")  # a zombie: its parent has not read its exit status yet


def new_owner() -> str:
    """A name for one worker of this process: host, pid, start time of the process, and a random part."""
    return _named(os.getpid(), _began(os.getpid()) or "")


def owner_seen(pid: int, seen: float) -> str | None:
    """The owner string of a process of this host that was alive at a time; None if it is gone.

    seen: seconds since 1970-01-01 UTC. A process that started later has reused the id.
    """
    import psutil

    try:
        began = None if psutil.Process(pid).create_time() > seen + 1 else _began(pid)
    except psutil.NoSuchProcess:
        began = None
    return None if began is None else _named(pid, began)


def is_dead(owner: str) -> bool:
    """Whether the owner ran on this host and its process is gone.

    False for other hosts and for owner strings of another form, which cannot be checked.
    """
    read = _OWNER.fullmatch(owner)
    if read is None or read["host"] != _host() or (":" in read["began"]) != _BOOT_ID.exists():
        return False
    began = _began(int(read["pid"]))
    if began is None or ":" in began:
        return began != read["began"]
    return abs(float(began) - float(read["began"])) > 1  # seconds: readings for the same process may differ slightly


def new_folder(parent: Path) -> Path:
    """A folder that only this user may enter, named by this process."""
    folder = parent / new_owner().replace("|", _IN_PATHS)
    parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    return folder


def remove_folders_of_the_dead(parent: Path) -> None:
    """Remove this user's folders that killed processes of this host left in a folder."""
    for folder in parent.iterdir() if parent.is_dir() else ():
        with suppress(FileNotFoundError):  # another process removes it, too
            if is_dead(folder.name.replace(_IN_PATHS, "|")) and folder.lstat().st_uid == os.getuid():
                shutil.rmtree(folder, ignore_errors=True)


def _named(pid: int, began: str) -> str:
    return f"{_host()}|{pid}|{began}|{uuid.uuid4().hex[:8]}"


@cache
def _host() -> str:
    """The name of this host, in a container followed by a dot and the container's number."""
    try:
        seen = str(_PROCESSES.readlink())
    except OSError:
        seen = _OF_THE_MACHINE
    name = socket.gethostname()
    return name if seen == _OF_THE_MACHINE else f"{name}.{''.join(filter(str.isdigit, seen))}"


def _began(pid: int) -> str | None:
    """The start time of a process, unique among processes with its id; None if it has ended."""
    if not _BOOT_ID.exists():
        return _began_by_the_clock(pid)
    try:
        told = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if told[_STATE] in _ENDED else f"{_boot_id()}:{int(told[_START_TICKS])}"


@cache
def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()


def _began_by_the_clock(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None
