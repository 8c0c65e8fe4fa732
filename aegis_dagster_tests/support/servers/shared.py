"""Servers that all processes of a test run share: the first user starts one, and ends it after the last user."""

import fcntl
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from filelock import FileLock

Server = TypeVar("Server")

_started: list[tuple[ExitStack, Path, Path]] = []  # by this process: what ends it, its users, its address


@contextmanager
def shared(
    factory: pytest.TempPathFactory, name: str, start: Callable[[], AbstractContextManager[Server]]
) -> Iterator[Server]:
    """The run's server of this name. start: starts it and gives what can be pickled, which every process gets."""
    base = factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    address, users = folder / f"{name}.address", folder / f"{name}.users"
    with users.open("ab") as using:
        with FileLock(folder / f"{name}.lock"):
            fcntl.flock(using, fcntl.LOCK_SH)
            if not address.exists():
                running = ExitStack()
                address.write_bytes(pickle.dumps(running.enter_context(start())))
                _started.append((running, users, address))
            server: Server = pickle.loads(address.read_bytes())
        yield server


def end_servers() -> None:
    """End what this process has started, each as soon as no process uses it any more."""
    while _started:
        running, users, address = _started.pop()
        with users.open("rb") as using, running:
            fcntl.flock(using, fcntl.LOCK_EX)
            address.unlink()
