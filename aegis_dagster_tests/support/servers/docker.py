"""A real Docker engine for tests: a folder and a socket of its own, and an image that holds nothing but this machine.

The image is a tree of empty folders, on which containers mount this machine's programs and the repository. A stub in
the place of NVIDIA's runtime hook makes the engine accept requests for GPUs, and notes the containers that make them.
"""

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from aegis_dagster_tests.support.missing import missing
from aegis_dagster_tests.support.places import REPOSITORY
from aegis_dagster_tests.support.servers.shared import shared

IMAGE = "aegis-tests:1"
_START_SECONDS = 120.0
_NO_NETWORK = ("iptables=false", "ip6tables=false", "bridge=none", "ip-forward=false", "ip-masq=false")
_FOLDERS = ("usr", "sbin", "etc", "tmp", "proc", "sys", "dev", "root", "run", "var/tmp", "opt", "work")
_LINKS = ("bin", "lib", "lib64")
_ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/hosts": "127.0.0.1 localhost\n",
}


@dataclass(frozen=True, slots=True)
class DockerEngine:
    """An engine that can be stopped and started again."""

    folder: Path
    gpus: bool

    @property
    def host(self) -> str:
        """What DOCKER_HOST is to be."""
        return f"unix://{self.folder}/socket"

    @property
    def pid(self) -> int:
        """Of the engine's process."""
        return int((self.folder / "pid").read_text())

    @property
    def gpu_containers(self) -> list[str]:
        """The ids of the containers that were created with a request for GPUs."""
        log = self.folder / "hook.log"
        return log.read_text().split() if log.is_file() else []

    def client(self) -> Any:
        """A client of docker-py."""
        import docker

        return docker.DockerClient(self.host, timeout=30)

    def start(self) -> None:
        """Returns when it answers."""
        # Of a containerd that ended with an engine that was killed: its number may stand for a zombie for a while.
        (self.folder / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)
        programs = [str(self.folder / "bin")] if self.gpus else []
        path = os.pathsep.join([*programs, *_places()])
        command = [_found("dockerd") or "", f"--host={self.host}", f"--pidfile={self.folder}/pid"]
        command += [f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec"]
        command += [
            f"--{option}" for option in (*_NO_NETWORK, "userland-proxy=false", "default-ulimit=nofile=20000:20000")
        ]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": path}, start_new_session=True
            )
        until = time.monotonic() + _START_SECONDS
        while not self._answers():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"dockerd does not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """Returns when its process is gone."""
        pid = self.pid
        os.kill(pid, signum)
        until = time.monotonic() + _START_SECONDS
        while _is_there(pid):
            if time.monotonic() > until:
                raise RuntimeError("dockerd does not end")
            time.sleep(0.05)

    def _answers(self) -> bool:
        from docker.errors import DockerException

        try:
            return bool(self.client().ping())
        except (DockerException, requests.RequestException):
            return False


@contextmanager
def docker_engine(*, gpus: bool) -> Iterator[DockerEngine]:
    """A running engine with the image, ended with the block together with its containers."""
    with tempfile.TemporaryDirectory(prefix="aegis_docker_", ignore_cleanup_errors=True) as name:
        engine = DockerEngine(Path(name), gpus)
        if gpus:
            hook = engine.folder / "bin" / "nvidia-container-runtime-hook"
            hook.parent.mkdir()
            # Standard input is the container's state: {"id": "...", ...}
            # It may come without an end of line, which sed would not add.
            told = 'sed -n \'s/.*"id":"\\([0-9a-f]*\\)".*/\\1/p\'; echo'
            hook.write_text(f"#!/bin/sh\n{{ {told}; }} >> {engine.folder}/hook.log\n")
            hook.chmod(0o755)
        engine.start()
        try:
            engine.client().api.import_image_from_data(_tree(), "aegis-tests", "1", changes=[f"ENV PATH={_path()}"])
            yield engine
        finally:
            if (engine.folder / "pid").exists() and _is_there(engine.pid):
                for container in engine.client().containers.list(all=True):
                    container.remove(force=True)
                engine.stop()


@pytest.fixture(scope="session")
def docker_with_gpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerEngine]:
    """One engine for all tests of a run that takes requests for GPUs. Without dockerd the tests skip."""
    need_docker()
    with shared(tmp_path_factory, "docker", _with_gpus) as engine:
        yield engine


@pytest.fixture(scope="module")
def own_docker() -> Iterator[DockerEngine]:
    """An engine without NVIDIA's runtime for the tests of a module, which may stop it."""
    need_docker()
    with docker_engine(gpus=False) as engine:
        yield engine


def need_docker() -> None:
    """Skip the test where no engine can be started."""
    if _found("dockerd") is None:
        missing("The Docker engine is not installed; `apt-get install --no-install-recommends docker.io` installs it.")
    if os.geteuid() != 0:
        missing("A Docker engine of its own needs the user root: `sudo make test`.")


def machine() -> dict[str, Any]:
    """Options of containers that see this machine's programs and the repository."""
    places = {"/usr", sys.prefix, sys.base_prefix, str(REPOSITORY)}
    mounted = [place for place in places if place == "/usr" or not place.startswith("/usr")]
    return {"volumes": [f"{place}:{place}:ro" for place in mounted]}


@contextmanager
def _with_gpus() -> Iterator[DockerEngine]:
    with docker_engine(gpus=True) as engine:
        yield engine


def _tree() -> bytes:
    """The image: nothing but folders, links and the names of users."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tree:
        for name in _FOLDERS:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if "tmp" in name else 0o755
            tree.addfile(entry)
        for name in _LINKS:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tree.addfile(entry)
        cache = Path("/etc/ld.so.cache")
        files = {name: text.encode() for name, text in _ACCOUNTS.items()}
        files |= {"etc/ld.so.cache": cache.read_bytes()} if cache.is_file() else {}
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tree.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def _path() -> str:
    return f"{Path(sys.prefix) / 'bin'}:/usr/local/bin:/usr/bin:/bin"


def _places() -> list[str]:
    return [*os.environ.get("PATH", "").split(os.pathsep), "/usr/sbin", "/sbin"]


def _found(program: str) -> str | None:
    return shutil.which(program, path=os.pathsep.join(_places()))


def _is_there(pid: int) -> bool:
    with suppress(ChildProcessError):  # another process of the test run has started it
        os.waitpid(pid, os.WNOHANG)
    return Path(f"/proc/{pid}").exists()
