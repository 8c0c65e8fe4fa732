"""What Linux offers to confine a process, asked for through its C library. Every function raises OSError.

The numbers are those of the kernel's headers; they never change.
"""

import ctypes
import errno
import os
import platform
import re
import resource
import signal
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from aegis_dagster.device import has_nvidia

_libc = ctypes.CDLL(None, use_errno=True)

_CLONE_THREAD, _CLONE_NEWUSER, _CLONE_NEWNET = 0x10000, 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38

# linux/capability.h: a worker of root still reads the files of others.
_CAPABILITY_VERSION = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1 << 1, 1 << 2

# linux/landlock.h
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION, _LANDLOCK_PATH_BENEATH = 1, 1
_WRITE_FILE, _TRUNCATE, _REFER, _READ_FILE = 1 << 1, 1 << 14, 1 << 13, 1 << 2
_READ = _READ_FILE | 1 << 3  # and list folders
_CHANGES = sum(1 << bit for bit in range(4, 13)) | _WRITE_FILE  # remove and make entries of every kind
_NO_TCP, _SCOPES = 0b11, 0b11  # neither bind nor connect; neither abstract sockets nor signals to others
_DEVICES = ("null", "nvidia*", "dri/*", "kfd")  # in /dev: written to by libraries, those of GPUs among them
_OWN_THREADS = "/proc/self/task"

# linux/seccomp.h and linux/filter.h
_ALLOW, _ERRNO, _END_THREAD, _FILTER = 0x7FFF0000, 0x00050000, 0, 2
_LOAD, _EQUAL, _AT_LEAST, _ANY_OF, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in seccomp_data


class _Calls(NamedTuple):
    """The numbers of a machine's calls."""

    mark: int
    refused: tuple[int, ...]  # fork, vfork, ptrace, execveat, process_vm_readv and _writev
    execve: int
    clone: int
    socket: int
    connect: int
    served: tuple[int, ...]  # bind, listen
    accept: int
    sends: tuple[int, ...]  # sendto, sendmsg, sendmmsg


_MACHINES = {
    "x86_64": _Calls(0xC000003E, (57, 58, 101, 322, 310, 311), 59, 56, 41, 42, (49, 50), 43, (44, 46, 307)),
    "aarch64": _Calls(0xC00000B7, (117, 281, 270, 271), 221, 220, 198, 203, (200, 201), 202, (206, 211, 269)),
}
_AF_UNIX = 1
_EVERYWHERE = (425, 426, 427, 424, 438)  # io_uring, which opens sockets too; pidfd_send_signal, pidfd_getfd
_CLONE3 = 435
_X32 = 0x40000000


def version() -> tuple[int, int]:
    """The kernel's version."""
    major, minor = re.findall(r"\d+", os.uname().release)[:2]
    return int(major), int(minor)


def die_with_parent() -> None:
    """This process is killed when the thread that started it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def leave_network() -> bool:
    """Move to a network without devices. Returns whether that took a user namespace of its own."""
    if os.geteuid() == 0:  # in a user namespace, root could not read the files of others
        _checked(_libc.unshare(_CLONE_NEWNET))
        return False
    user, group = os.geteuid(), os.getegid()
    _checked(_libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return True


def drop_rights(*, all_of_them: bool = False) -> None:
    """Give up the rights of root, and of this process in its user namespace, and never get any again.

    all_of_them: that to read the files of others, too.
    """
    kept = 0 if all_of_them else _DAC_OVERRIDE | _DAC_READ_SEARCH
    header = struct.pack("II", _CAPABILITY_VERSION, 0)
    held = ctypes.create_string_buffer(24)
    _checked(_libc.capget(header, held))
    permitted = struct.unpack("6I", held.raw)[1] & kept
    _checked(_libc.capset(header, struct.pack("6I", permitted, permitted, 0, 0, 0, 0)))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def restrict_files(writable: Sequence[str], readable: Sequence[str] = ()) -> None:
    """Write only below these folders (none: anywhere); read the memory of no other process, and signal none.

    readable: folders and files that are read besides, and nothing else; none: everything is.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    version = _checked(_libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION))
    changes = _CHANGES | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    changes |= _READ if readable else 0
    handled = changes if writable else _REFER if version >= 2 else 1 << 6  # something must be handled
    parts = [handled, *([_NO_TCP] if version >= 4 else []), *([_SCOPES] if version >= 6 else [])]
    rules = _checked(
        _libc.syscall(_LANDLOCK_CREATE, struct.pack(f"{len(parts)}Q", *parts), ctypes.c_size_t(8 * len(parts)), 0)
    )
    try:
        for folder in writable or ["/"]:
            _allow(rules, folder, handled)
        for device in (found for pattern in _DEVICES for found in Path("/dev").glob(pattern)) if writable else ():
            _allow(rules, str(device), _WRITE_FILE)
        if has_nvidia() and writable:  # CUDA gives its threads names, and does not start where it cannot
            _allow(rules, _OWN_THREADS, (_WRITE_FILE | _TRUNCATE) & handled)
        for place in readable:
            if Path(place).exists():
                _allow(rules, place, _READ if Path(place).is_dir() else _READ_FILE)
        _checked(_libc.syscall(_LANDLOCK_RESTRICT, rules, 0))
    finally:
        os.close(rules)


def refuse_calls(*, of_program: bool = False, local_socket: bool = False) -> None:
    """No sockets, no programs, no processes (threads are none), no look into the memory of others.

    local_socket: it may open a socket of this machine, but connects it to nothing and sends nothing, and to bind it
    does nothing. CUDA opens one, and does not start without.

    of_program: the process is to become another program, which may open such a socket. LibreOffice does so, to be
    found by its next start; the thread that waits for that ends, as it would keep the program from ending for seconds.
    """
    calls = _MACHINES.get(platform.machine())
    if calls is None:
        raise OSError(errno.ENOSYS, "The numbers of this machine's calls are not known")
    local_socket = local_socket or of_program
    refused = (*calls.refused, *_EVERYWHERE, calls.connect if local_socket else calls.socket)
    refused += () if of_program else (calls.execve, *(calls.sends if local_socket else ()))
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, calls.mark),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),  # glibc falls back to clone, whose flags can be read
    ]
    for call in refused:
        steps += [(_EQUAL, 0, 1, call), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    if of_program:
        steps += [(_EQUAL, 0, 1, calls.accept), (_RETURN, 0, 0, _END_THREAD)]
    if local_socket:
        for call in calls.served:
            steps += [(_EQUAL, 0, 1, call), (_RETURN, 0, 0, _ERRNO)]
        steps += [
            (_EQUAL, 0, 4, calls.socket),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_EQUAL, 1, 0, _AF_UNIX),
            (_RETURN, 0, 0, _ERRNO | errno.EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ]
    steps += [
        (_EQUAL, 0, 3, calls.clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_OF, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    program = b"".join(struct.pack("HBBI", *step) for step in steps)
    code = ctypes.create_string_buffer(program)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_SECCOMP, _FILTER, struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))


def resident_bytes(process: int) -> int:
    """The memory that a process holds; 0 where that cannot be read."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0


def _allow(rules: int, path: str, access: int) -> None:
    place = os.open(path, os.O_PATH)
    try:
        rule = struct.pack("=Qi", access, place)
        _checked(_libc.syscall(_LANDLOCK_ADD, rules, _LANDLOCK_PATH_BENEATH, rule, 0))
    finally:
        os.close(place)


def _prctl(option: int, first: int, second: bytes | int = 0) -> None:
    wide = second if isinstance(second, bytes) else ctypes.c_ulong(second)
    _checked(_libc.prctl(option, ctypes.c_ulong(first), wide, ctypes.c_ulong(0), ctypes.c_ulong(0)))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
