"""What the disk, SQLite or Postgres says when it cannot go on: one cause, one message and one remedy for each.

No remedy advises deleting what cannot be made again. A store that can be rebuilt names its own remedy for damage.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa

from aegis_dagster.errors import ServiceError, StoreBusy


class Cause(StrEnum):
    """Why a store cannot go on."""

    BUSY = "busy"
    FULL = "full"
    READ_ONLY = "read only"
    WRONG_KIND = "a file instead of a folder or a folder instead of a file"
    NOT_OPENED = "cannot be opened"
    DAMAGED = "damaged"
    DISK = "disk error"
    OTHER_TABLES = "other tables"
    LIMIT = "limit of file size"
    TOO_MANY_FILES = "too many open files"
    LONG_NAME = "name too long"
    GONE = "gone"
    NO_SERVER = "server does not answer"
    NO_LOGIN = "server refuses the login"
    NO_RIGHT = "no right"
    CROWDED = "too many connections"
    TOO_SLOW = "cancelled"


@dataclass(frozen=True, slots=True)
class Place:
    """A store, as its messages name it."""

    what: str  # subject of a sentence: "The database /home/me/.aegis/aegis.db"
    path: Path | None  # None: it is on a server
    damaged: str  # what to do when its contents are damaged
    is_file: bool = False  # a folder otherwise


# Cause: what is wrong, what helps. {path} is the file or folder, {damaged} the store's own remedy.
_SAYS: dict[Cause, tuple[str, str]] = {
    Cause.BUSY: (
        "is kept locked by another process",
        "wait until that run or command has ended, then repeat this one.",
    ),
    Cause.FULL: (
        "cannot be written: the disk is full",
        "free space (or raise the quota) on the disk of {path}, then run the same command again; nothing is lost.",
    ),
    Cause.READ_ONLY: (
        "may not be read or written by this user",
        "give this user the right to read and write {path} and its folder (`ls -ld {path}` shows the rights), or mount "
        "that disk for writing.",
    ),
    Cause.WRONG_KIND: (
        "cannot be used: there is a file where a folder should be, or the other way round",
        "look at {path} with `ls -ld`, move away what does not belong there, or set AEGIS_HOME to another folder.",
    ),
    Cause.NOT_OPENED: (
        "cannot be opened",
        "check that the folder of {path} exists and that this user may read and write it (`ls -ld`).",
    ),
    Cause.DAMAGED: ("is damaged", "{damaged}"),
    Cause.DISK: (
        "cannot be read or written: the disk reports an error",
        "check the disk of {path}: free space, quota and limit of file size (`df`, `quota`, `ulimit -f`), cables and "
        "the kernel's log (`dmesg`); then run the same command again.",
    ),
    Cause.OTHER_TABLES: (
        "does not have the tables of this version",
        "restore it from a backup (`aegis restore`), or point AEGIS_HOME and AEGIS_DATABASE at the right place if it "
        "belongs to another program.",
    ),
    Cause.LIMIT: (
        "cannot be written: the file has reached the limit of size for this process or disk",
        "raise the limit (`ulimit -f` shows it), then run the same command again.",
    ),
    Cause.TOO_MANY_FILES: (
        "cannot be opened: too many files are open",
        "raise the limit (`ulimit -n` shows it), then run the same command again.",
    ),
    Cause.LONG_NAME: ("has a path that is too long for its disk", "set AEGIS_HOME to a folder with a shorter path."),
    Cause.GONE: ("is gone", "mount the disk of {path}, or create the folder that is missing."),
    Cause.NO_SERVER: (
        "does not answer",
        "check that the server runs, and that host, port and name in AEGIS_DATABASE are right.",
    ),
    Cause.NO_LOGIN: ("refuses the login", "correct user, password and database name in AEGIS_DATABASE."),
    Cause.NO_RIGHT: (
        "refuses the operation to this user",
        "grant the user in AEGIS_DATABASE all rights on the schema and its tables, on a server that accepts writes.",
    ),
    Cause.CROWDED: (
        "accepts no more connections",
        "wait, end other programs that use it, or raise max_connections of the server.",
    ),
    Cause.TOO_SLOW: ("cancelled a statement that took too long", "try again; raise statement_timeout of the server."),
}

_OF_ERRNO = {
    errno.ENOSPC: Cause.FULL,
    errno.EDQUOT: Cause.FULL,
    errno.EFBIG: Cause.LIMIT,
    errno.EROFS: Cause.READ_ONLY,
    errno.EACCES: Cause.READ_ONLY,
    errno.EPERM: Cause.READ_ONLY,
    errno.ENOTDIR: Cause.WRONG_KIND,
    errno.EISDIR: Cause.WRONG_KIND,
    errno.EEXIST: Cause.WRONG_KIND,  # mkdir over a file
    errno.ELOOP: Cause.WRONG_KIND,
    errno.EIO: Cause.DISK,
    errno.EMFILE: Cause.TOO_MANY_FILES,
    errno.ENFILE: Cause.TOO_MANY_FILES,
    errno.ENAMETOOLONG: Cause.LONG_NAME,
    errno.ENOENT: Cause.GONE,
    errno.ESTALE: Cause.GONE,
    errno.ENOTCONN: Cause.GONE,
    errno.ENXIO: Cause.GONE,
}
_OF_SQLITE = {  # by the part of the code's name that says the kind
    "BUSY": Cause.BUSY,
    "LOCKED": Cause.BUSY,
    "FULL": Cause.FULL,
    "READONLY": Cause.READ_ONLY,
    "PERM": Cause.READ_ONLY,
    "AUTH": Cause.READ_ONLY,
    "CANTOPEN": Cause.NOT_OPENED,
    "CORRUPT": Cause.DAMAGED,
    "NOTADB": Cause.DAMAGED,
    "FORMAT": Cause.DAMAGED,
    "IOERR": Cause.DISK,
    "NOLFS": Cause.LIMIT,
    "ERROR": Cause.OTHER_TABLES,
    "SCHEMA": Cause.OTHER_TABLES,
}
_OF_SQLSTATE = {  # the longest beginning counts
    "08": Cause.NO_SERVER,
    "25006": Cause.NO_RIGHT,
    "28": Cause.NO_LOGIN,
    "3D": Cause.NO_LOGIN,
    "40": Cause.BUSY,
    "42501": Cause.NO_RIGHT,
    "42P01": Cause.OTHER_TABLES,
    "42703": Cause.OTHER_TABLES,
    "53": Cause.FULL,
    "53300": Cause.CROWDED,
    "55P03": Cause.BUSY,
    "57": Cause.NO_SERVER,
    "57014": Cause.TOO_SLOW,
    "58": Cause.DISK,
    "XX": Cause.DAMAGED,
}
_ALMOST_NOTHING = 2**20  # bytes
_REFUSED_LOGIN = ("authentication failed", "no password supplied", "does not exist", "no pg_hba.conf entry")


def service_error(error: BaseException, place: Place) -> ServiceError | None:
    """The error that tells what is wrong and what helps; None: the store is not the cause."""
    cause = cause_of(error)
    if cause is None:
        return None
    if cause in (Cause.NOT_OPENED, Cause.DISK) and _is_of_wrong_kind(place):
        cause = Cause.WRONG_KIND
    if cause is Cause.DISK and place.path is not None and _is_full(place.path):
        cause = Cause.FULL  # of some writes SQLite says only that they failed
    wrong, remedy = _SAYS[cause]
    where = "its server" if place.path is None else str(place.path)
    kind = StoreBusy if cause is Cause.BUSY else ServiceError
    said = _said(error) if cause in (Cause.OTHER_TABLES, Cause.NO_SERVER, Cause.NO_LOGIN, Cause.NO_RIGHT) else ""
    return kind(f"{place.what} {wrong}{said}.", remedy=remedy.format(path=where, damaged=place.damaged))


def cause_of(error: BaseException) -> Cause | None:
    """The cause that an error, or what raised it, tells of."""
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in _OF_ERRNO:
            return _OF_ERRNO[one.errno]
        if isinstance(one, sqlite3.DatabaseError):
            _, _, kind = str(getattr(one, "sqlite_errorname", None) or "").partition("_")
            unknown = Cause.DISK if isinstance(one, sqlite3.OperationalError) else None
            return _OF_SQLITE.get(kind.partition("_")[0], unknown)
        if isinstance(one, sa.exc.TimeoutError):  # all connections of this process are waiting for something
            return Cause.BUSY
        if isinstance(one, sa.exc.DatabaseError) and not isinstance(one.orig, sqlite3.Error):
            return _of_server(one)
    return None


def _is_of_wrong_kind(place: Place) -> bool:
    if place.path is None or not place.path.exists():
        return False
    return place.path.is_dir() if place.is_file else not place.path.is_dir()


def _is_full(path: Path) -> bool:
    """Whether the disk of a path has no space or no names left."""
    nearest = next((one for one in (path, *path.parents) if one.exists()), None)
    if nearest is None:
        return False
    disk = os.statvfs(nearest)
    return disk.f_bavail * disk.f_frsize < _ALMOST_NOTHING or 0 == disk.f_favail < disk.f_files


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        inner = seen.orig if isinstance(seen, sa.exc.DBAPIError) else None
        seen = inner if isinstance(inner, sqlite3.Error) else seen.__cause__ or seen.__context__


def _of_server(error: sa.exc.DatabaseError) -> Cause:
    state = str(getattr(error.orig, "pgcode", "") or "")
    for length in (5, 2):
        if len(state) >= length and state[:length] in _OF_SQLSTATE:
            return _OF_SQLSTATE[state[:length]]
    # libpq gives no state when a connection is refused.
    return Cause.NO_LOGIN if any(words in str(error.orig) for words in _REFUSED_LOGIN) else Cause.NO_SERVER


def _said(error: BaseException) -> str:
    words = str(error.orig if isinstance(error, sa.exc.DBAPIError) else error).split()
    return f": {' '.join(words)[:300].rstrip('.')}"
