"""Counts what code asks of the database and the disk: the counts are the same on every machine."""

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

_STEPS = 100


@dataclass(slots=True)
class DatabaseWork:
    """The statements sent through any engine of this process."""

    statements: list[str] = field(default_factory=list)
    commits: int = 0
    steps: int = 0  # instructions of SQLite's virtual machine, in hundreds for each statement: rows looked at, mostly

    def on(self, *tables: str) -> list[str]:
        """The statements that name one of these tables."""
        return [statement for statement in self.statements if any(table in statement for table in tables)]


@contextmanager
def database_work() -> Iterator[DatabaseWork]:
    """Count while the block runs."""
    work = DatabaseWork()

    def executed(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        work.statements.append(statement)

    def committed(_connection: object) -> None:
        work.commits += 1

    def stepped() -> int:
        work.steps += _STEPS
        return 0  # go on

    def checked_out(connection: object, *_: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.set_progress_handler(stepped, _STEPS)

    def checked_in(connection: object, *_: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.set_progress_handler(None, 0)

    listeners: list[tuple[type[object], str, Callable[..., object]]] = [
        (sa.Engine, "before_cursor_execute", executed),
        (sa.Engine, "commit", committed),
        (sa.pool.Pool, "checkout", checked_out),
        (sa.pool.Pool, "checkin", checked_in),
    ]
    for target, event, listener in listeners:
        sa.event.listen(target, event, listener)
    try:
        yield work
    finally:
        for target, event, listener in listeners:
            sa.event.remove(target, event, listener)


_watched: dict[str, list[str]] = {}  # what happened, by the folder


def _note(event: str, arguments: tuple[object, ...]) -> None:
    flags = arguments[2] if event == "open" else 0
    if event not in ("open", "os.scandir", "os.listdir") or not isinstance(flags, int) or flags & os.O_DIRECTORY:
        return
    path = _place(arguments[0]) if event != "open" or not isinstance(arguments[0], int) else None
    for folder, seen in _watched.items():
        # Of a file that is opened below a descriptor, the event tells only the name. Only `opening.py` does so.
        walked = flags & os.O_NONBLOCK and path is not None and "/" not in path
        if path is not None and (walked or f"{path}/".startswith(f"{folder}/")):
            seen.append(event)


def _place(argument: object) -> str | None:
    """The path that an event names; for a descriptor its own."""
    if isinstance(argument, int):
        return str(Path(f"/proc/self/fd/{argument}").readlink())
    return os.fsdecode(argument) if isinstance(argument, str | bytes | os.PathLike) else None


@contextmanager
def opened_below(folder: Path) -> Iterator[list[str]]:
    """The accesses to a folder (open, list) while the block runs, as the names of Python's audit events."""
    if not _watched:
        sys.addaudithook(_note)  # stays until the process ends
    seen = _watched.setdefault(str(folder), [])
    seen.clear()
    try:
        yield seen
    finally:
        _watched[str(folder)] = []
