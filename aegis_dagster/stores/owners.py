"""Who holds a lease, and whether that process still lives.

Belongs here: the owner string of a process, the check of another's, and of a process known by its id.
Does not belong here: leases themselves (`catalog.py`), runs of Dagster.
"""

import os
import socket
import uuid

import psutil


def new_owner() -> str:
    """A name for one worker of this process: host, pid, start of the process, and a random part."""
    process = psutil.Process()
    return f"{socket.gethostname()}|{process.pid}|{process.create_time():.2f}|{uuid.uuid4().hex[:8]}"


def is_dead(owner: str) -> bool:
    """True when the owner ran on this host and its process is gone. Another host's is never known dead."""
    parts = owner.split("|")
    if len(parts) != 4 or parts[0] != socket.gethostname():
        return False
    _, pid, started, _ = parts
    if int(pid) == os.getpid():
        return abs(psutil.Process().create_time() - float(started)) > 1
    try:
        process = psutil.Process(int(pid))
        return abs(process.create_time() - float(started)) > 1 or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def process_is_gone(pid: int, seen: float) -> bool:
    """Whether a process of this host that lived at a time does no more, also where another one has its id.

    seen: seconds since 1970-01-01 UTC.
    """
    try:
        process = psutil.Process(pid)
        return process.create_time() > seen + 1 or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
