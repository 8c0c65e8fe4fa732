"""Owners of leases and runs: real processes, living and killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from aegis_dagster.process_identity import is_dead, new_owner, owner_seen

BEGUN = (
    "from aegis_dagster.process_identity import new_owner; print(new_owner(), flush=True); import time; time.sleep(60)"
)


@pytest.fixture
def other() -> Iterator["subprocess.Popen[str]"]:
    """A process that has said who it is."""
    with subprocess.Popen([sys.executable, "-c", BEGUN], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_process_is_alive_until_it_is_killed_also_while_nobody_has_asked_how_it_ended(
    other: "subprocess.Popen[str]",
) -> None:
    owner = said(other)
    seen = owner_seen(other.pid, time.time())
    assert seen is not None and seen != owner
    assert not any(map(is_dead, (owner, seen, new_owner())))
    os.kill(other.pid, signal.SIGKILL)
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie
    assert is_dead(owner) and is_dead(seen) and owner_seen(other.pid, time.time()) is None
    other.wait()
    assert is_dead(owner) and is_dead(seen) and owner_seen(other.pid, time.time()) is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the start of a process is a time of day")
@pytest.mark.parametrize("step", [3, -3])
def test_a_clock_that_is_set_makes_nobody_dead(
    other: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    owner, own, before = said(other), new_owner(), psutil.Process(other.pid).create_time()
    booted = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: booted + step)  # as /proc/stat tells it then
    assert psutil.Process(other.pid).create_time() == pytest.approx(before + step, abs=0.1)
    assert not is_dead(owner) and not is_dead(own)


def test_a_process_that_began_later_is_another_one(other: "subprocess.Popen[str]") -> None:
    began = psutil.Process(other.pid).create_time()
    assert owner_seen(other.pid, began) is not None
    assert owner_seen(other.pid, began - 2) is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the start of a process is a time of day")
def test_the_id_of_a_process_alone_says_nothing() -> None:
    host, pid, began, part = new_owner().split("|")
    boot, ticks = began.split(":")
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert is_dead(f"{host}|{pid}|{boot}:{int(ticks) - 1}|{part}")
    assert is_dead(f"{host}|{pid}|{'0' * 8}-{boot[9:]}:{ticks}|{part}")  # the machine was started again
    assert not is_dead(f"{host}|{pid}|{boot}:{ticks}|of another worker")


def test_whose_process_nobody_can_judge_counts_as_alive() -> None:
    began = new_owner().split("|")[2]
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert is_dead(f"{socket.gethostname()}|{ended.pid}|{began}|0")
    other_hosts = f"not-{socket.gethostname()}|{ended.pid}|{began}|0"
    unread = [
        *("", "somebody", f"{ended.pid}|{began}|0", f"{socket.gethostname()}|none|{began}|0"),
        f"{socket.gethostname()}|{ended.pid}|{'1' * 8}.50|0" if ":" in began else f"|{ended.pid}|{began}|0",
        f"{socket.gethostname()}|{ended.pid}|{began}x|0",
        f"{socket.gethostname()}|{'9' * 40}|{began}|0",
        f"{socket.gethostname()}|0|{began}|0",
    ]
    assert [owner for owner in (other_hosts, *unread) if is_dead(owner)] == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are no containers")
def test_a_container_with_the_name_of_its_host_is_another_host() -> None:
    apart = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]
    with subprocess.Popen([*apart, sys.executable, "-c", BEGUN], stdout=subprocess.PIPE, text=True) as process:
        inside = said(process)
        host, pid, _, _ = inside.split("|")
        assert host.startswith(f"{socket.gethostname()}.") and pid == "1"
        assert not is_dead(inside)  # though the first process of this machine began at another time
        process.kill()
