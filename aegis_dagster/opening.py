"""Opens what lies below a folder so that nothing swapped in meanwhile is followed, read or waited for.

A path is walked name by name from a descriptor: a name that has become a link ends the walk, and so does a pipe or a
device where a file is expected.
"""

import errno
import os
import stat
from pathlib import Path

# A descriptor that only names its folder needs the right to enter it, not to list it. macOS has none.
_THROUGH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW
_LISTED = os.O_RDONLY | os.O_DIRECTORY
# A pipe is opened without waiting for its writer; the check below refuses it.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


def open_folder(path: Path) -> int:
    """A descriptor of a folder to begin at; links on the way to it are followed. Raises OSError."""
    return os.open(path, _LISTED)


def open_folder_below(folder: int, path: str) -> int:
    """A descriptor of the folder at a path below another one, which can be listed. Raises OSError."""
    return _walked(folder, path, _LISTED | os.O_NOFOLLOW)


def open_file_below(folder: int, path: str) -> int:
    """A descriptor of the regular file at a path below a folder. Raises OSError."""
    descriptor = _walked(folder, path, _READ)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "It is no regular file")
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def open_file(path: Path) -> int:
    """A descriptor of the regular file at an absolute path without any link. Raises OSError."""
    top = open_folder(Path(path.anchor))
    try:
        return open_file_below(top, str(path.relative_to(path.anchor)))
    finally:
        os.close(top)


def is_swapped(error: OSError) -> bool:
    """Whether a name on the way is not what it was: it is a link, no folder any more, or no file."""
    return error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EINVAL, errno.ENXIO, errno.ENODEV)


def _walked(folder: int, path: str, flags: int) -> int:
    *through, last = path.split("/")
    if not {"", ".", ".."}.isdisjoint((*through, last)):
        raise OSError(errno.EINVAL, "The path leaves the folder")
    at = os.dup(folder)
    try:
        for name in through:
            deeper = os.open(name, _THROUGH, dir_fd=at)
            os.close(at)
            at = deeper
        return os.open(last, flags, dir_fd=at)
    finally:
        os.close(at)
