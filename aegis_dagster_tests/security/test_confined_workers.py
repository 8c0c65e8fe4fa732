"""A worker that a document has taken over holds no secret and reaches nothing.

The walls that need the kernel are tested where it offers them: on Linux, as `aegis doctor` tells.
"""

import asyncio
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.stages import Stage
from aegis_dagster.environment import worker_environment
from aegis_dagster.errors import DocumentError, FailureCode, ServiceError
from aegis_dagster.settings import load_settings
from aegis_dagster.stores.artifacts import FolderArtifacts
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster.workers.confinement import Wall, walls_here
from aegis_dagster.workers.pool import WorkerPool
from aegis_dagster_tests.support.waiting import until
from aegis_dagster_tests.support.worker_processes import templates, workers

SECRETS = (
    "DASHSCOPE_API_KEY",
    "AEGIS_NOTIFY",
    "AEGIS_DATABASE",
    "AWS_SECRET_ACCESS_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
)


async def working(pool: WorkerPool, folder: Path) -> tuple[psutil.Process, "asyncio.Task[dict[str, Any]]"]:
    """A worker that waits for ever, because a pipe has taken the place of a picture; and its task."""
    pipe = folder / f"pipe-{os.urandom(4).hex()}"
    os.mkfifo(pipe)
    task = asyncio.create_task(pool.run("picture_facts", {"paths": [str(pipe)]}, timeout_seconds=100))
    await asyncio.to_thread(until, lambda: is_read(pipe))
    return workers()[0], task


def is_read(pipe: Path) -> bool:
    """Whether somebody has opened it to read from it."""
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def pool(folder: Path) -> WorkerPool:
    return WorkerPool(workers=1, memory_mb=500, temporary=folder / "workers", writable=[folder / "staging"])


async def test_a_worker_has_no_secret_a_group_of_its_own_and_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "the secret")
    made = pool(tmp_path)
    worker, task = await working(made, tmp_path)
    (folder,) = (tmp_path / "workers").iterdir()
    try:
        for process in (worker, *templates()):
            assert "the secret" not in process.environ().values()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert os.getsid(worker.pid) == os.getpgid(worker.pid) == worker.pid
        await asyncio.to_thread(until, lambda: resource.prlimit(worker.pid, resource.RLIMIT_CORE) == (0, 0))
        limits = {
            limit: resource.prlimit(worker.pid, limit)[1] for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_DATA)
        }
        assert limits == {resource.RLIMIT_FSIZE: 2**30, resource.RLIMIT_DATA: 2024 * 2**20}
    finally:
        await made.close()
    with pytest.raises(ServiceError):
        await task
    assert list((tmp_path / "workers").iterdir()) == []


SEES = """
import json, os, tempfile
with open(tempfile.gettempdir() + "/seen", "w") as file:
    json.dump(dict(os.environ), file)
raise ImportError
"""


async def test_what_a_worker_runs_sees_its_own_folder_and_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "PIL").mkdir()
    (tmp_path / "PIL" / "__init__.py").write_text(SEES)
    for name in SECRETS:
        monkeypatch.setenv(name, "the secret")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    made = pool(tmp_path)
    try:
        with pytest.raises(DocumentError):
            await made.run("picture_facts", {"paths": [str(tmp_path)]}, timeout_seconds=100)
        (folder,) = (tmp_path / "workers").iterdir()
        seen = json.loads((folder / "seen").read_text())
        assert seen == worker_environment(folder)
        assert (seen["HOME"], seen["TMPDIR"], seen["PATH"]) == (str(folder), str(folder), "")
        assert (folder / "seen").stat().st_mode & 0o777 == 0o600
    finally:
        await made.close()


def test_the_environment_of_a_worker_names_what_it_keeps_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("HF_HOME", "/models")
    monkeypatch.setenv("DOCLING_LIBREOFFICE_CMD", "/usr/bin/soffice")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:password@proxy")
    environment = worker_environment(tmp_path)
    assert (environment["LC_ALL"], environment["HF_HOME"]) == ("C.UTF-8", "/models")
    assert not {"DOCLING_LIBREOFFICE_CMD", "HTTPS_PROXY"} & set(environment)


ATTACKS = """
import ctypes, json, os, socket, subprocess, sys, threading
from aegis_dagster.workers.confinement import confine
given = json.loads(sys.argv[1])
walls = confine(500, [given["own"]])
libc = ctypes.CDLL(None)

def read(path):
    with open(path, "rb") as file:
        return file.read(1)

def write(path):
    with open(path, "wb") as file:
        file.write(b"x")

def connect():
    socket.create_connection(("127.0.0.1", given["port"]), timeout=5)

def fork():
    if libc.fork() < 0:
        raise PermissionError

def program():
    if libc.system(b"echo started > " + given["own"].encode() + b"/started") != 0:
        raise PermissionError

def move():
    os.rename(given["elsewhere"] + "/a.txt", given["own"] + "/a.txt")

attacks = {
    "write elsewhere": lambda: write(given["elsewhere"] + "/b.txt"),
    "change elsewhere": lambda: write(given["elsewhere"] + "/a.txt"),
    "move from elsewhere": move,
    "remove elsewhere": lambda: os.unlink(given["elsewhere"] + "/a.txt"),
    "connect": connect,
    "socket of this machine": lambda: socket.socket(socket.AF_UNIX),
    "environment of the parent": lambda: read(f"/proc/{os.getppid()}/environ"),
    "memory of the parent": lambda: read(f"/proc/{os.getppid()}/mem"),
    "end the parent": lambda: os.kill(os.getppid(), 9),
    "program": lambda: subprocess.run([sys.executable, "-c", ""]),
    "program of a library": program,
    "process of a library": fork,
    "much memory": lambda: bytearray(3 << 30),
    "large file": lambda: os.truncate(given["own"] + "/a", 2 << 30),
    # and what a parser needs
    "write its own": lambda: write(given["own"] + "/a"),
    "read elsewhere": lambda: read(given["elsewhere"] + "/a.txt"),
    "threads": lambda: threading.Thread(target=lambda: None).start(),
    "randomness": lambda: os.urandom(8),
}
attacks = {"write its own": attacks.pop("write its own"), **attacks}
worked = []
for name, attack in attacks.items():
    try:
        attack()
    except (OSError, MemoryError):
        continue
    worked.append(name)
print(json.dumps([walls, worked]))
"""


def test_a_worker_reaches_nothing_but_what_it_reads_and_its_own_folder(tmp_path: Path) -> None:
    for folder in ("own", "elsewhere"):
        (tmp_path / folder).mkdir()
    (tmp_path / "elsewhere" / "a.txt").write_text("of another")
    with _listening() as port:
        given = {"own": str(tmp_path / "own"), "elsewhere": str(tmp_path / "elsewhere"), "port": port}
        command = [sys.executable, "-c", ATTACKS, json.dumps(given)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    walls, worked = json.loads(done.stdout)
    assert sorted(walls) == sorted(walls_here())
    if set(walls) == set(Wall):
        assert sorted(worked) == ["randomness", "read elsewhere", "threads", "write its own"]
    assert not {"program", "large file"} & set(worked)
    assert (tmp_path / "elsewhere" / "a.txt").read_text() == "of another"
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["a"]


# What a worker of a machine with a card may do with the one socket that CUDA opens.
SOCKET_OF_CUDA = """
import json, socket, sys
from aegis_dagster.workers.kernel import refuse_calls
refuse_calls(local_socket=True)
refused = []
ours = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
ours.bind("nothing")
attacks = {
    "connect": lambda: ours.connect(sys.argv[1]),
    "send": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", sys.argv[1]),
    "internet": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
}
for name, attack in attacks.items():
    try:
        attack()
    except PermissionError:
        refused.append(name)
print(json.dumps(refused))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the wall is built by Linux")
def test_the_socket_that_cuda_needs_reaches_nothing(tmp_path: Path) -> None:
    import socket

    place = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(place))
        command = [sys.executable, "-c", SOCKET_OF_CUDA, str(place)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path)
        log.setblocking(False)
        with pytest.raises(BlockingIOError):
            log.recv(1)
    assert json.loads(done.stdout) == ["connect", "send", "internet"]
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


@contextmanager
def _listening() -> Iterator[int]:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_what_a_worker_has_started_ends_with_it() -> None:
    script = (
        "import subprocess, sys\n"
        "from aegis_dagster.workers.confinement import end_group\n"
        "print(subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE).pid, flush=True)\n"
        "end_group()\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, start_new_session=True, check=False)
    assert done.returncode == -signal.SIGKILL
    until(lambda: not psutil.pid_exists(int(done.stdout)) or psutil.Process(int(done.stdout)).status() == "zombie")


def test_the_folder_of_a_killed_run_is_removed_by_the_next(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from aegis_dagster.workers.pool import WorkerPool\n"
        "pool = WorkerPool(workers=1, memory_mb=500, temporary=Path(sys.argv[1], 'workers'))\n"
        "asyncio.run(pool.run('picture_facts', {'paths': [sys.argv[1] + '/pipe']}, timeout_seconds=60))\n"
    )
    run = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    folder = tmp_path / "workers"
    until(lambda: workers(run.pid))
    run.kill()
    run.wait()
    (folder / "a file of somebody else").touch()
    assert len(list(folder.iterdir())) == 2
    pool(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["a file of somebody else"]


async def test_no_document_starts_libreoffice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docling starts it for drawings, for pictures of old formats, and to convert old files, if it finds it."""
    from docx import Document as Docx
    from docx.oxml import parse_xml

    program, started = tmp_path / "bin" / "soffice", tmp_path / "started"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n/bin/echo started > {started}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCLING_LIBREOFFICE_CMD", str(program))
    file, drawn = tmp_path / "drawn.docx", Docx()
    drawn.add_paragraph("Words beside the drawing.").add_run()._r.append(parse_xml(DRAWING))
    drawn.save(str(file))
    (tmp_path / "staging").mkdir()
    made = pool(tmp_path)
    try:
        manifest = await made.run("parse", parsing(file, tmp_path / "staging"), timeout_seconds=100)
    finally:
        await made.close()
    assert (manifest["format"], manifest["characters"]) == ("docx", len("Words beside the drawing."))
    assert not started.exists()


DRAWING = (
    '<w:drawing xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    ' xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"'
    ' xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"><wp:inline>'
    '<wp:extent cx="900000" cy="900000"/><wp:docPr id="1" name="Oval"/><a:graphic>'
    '<a:graphicData uri="http://schemas.microsoft.com/office/word/2010/wordprocessingShape">'
    '<wps:wsp xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"><wps:cNvSpPr/>'
    '<wps:spPr><a:prstGeom prst="ellipse"/></wps:spPr><wps:bodyPr/></wps:wsp>'
    "</a:graphicData></a:graphic></wp:inline></w:drawing>"
)


def parsing(file: Path, out_dir: Path) -> dict[str, Any]:
    options = {"max_pages": 10, "max_megabytes": 10, "pdf_route": "rules", "docling_models": None, "ocr": False}
    revision = hashlib.sha256(file.read_bytes()).hexdigest()
    return {"path": str(file), "suffix": ".docx", "revision": revision, "out_dir": str(out_dir), "options": options}


async def test_a_worker_writes_only_where_results_go(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("Words.")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "staging").mkdir()
    made = pool(tmp_path)
    try:
        await made.run("parse", {**parsing(file, tmp_path / "staging"), "suffix": ".txt"}, timeout_seconds=100)
        if Wall.FILES in walls_here():
            with pytest.raises((DocumentError, ServiceError)):
                await made.run(
                    "parse", {**parsing(file, tmp_path / "elsewhere"), "suffix": ".txt"}, timeout_seconds=100
                )
            assert list((tmp_path / "elsewhere").iterdir()) == []
    finally:
        await made.close()


async def test_the_workers_of_a_project_write_to_its_home_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("AEGIS_HOME", str(home))
    monkeypatch.setenv("AEGIS_ROOT", str(tmp_path))
    file = tmp_path / "a.txt"
    file.write_text("Words.")
    places = [home / "artifacts" / "staging" / "a", home / "artifacts" / "a", home / "workers" / "a", tmp_path / "a"]
    written = []
    async with Project(load_settings()).workbench() as bench:
        for place in places:
            place.mkdir(parents=True)
            with suppress(DocumentError, ServiceError):
                await bench.tasks.run("parse", {**parsing(file, place), "suffix": ".txt"}, timeout_seconds=100)
        written = [place for place in places if any(place.iterdir())]
    assert written == (places[:1] if Wall.FILES in walls_here() else places)
    assert list((home / "workers").iterdir()) == [home / "workers" / "a"]


PUTS_INTO_ITS_RESULT = """
import json, os, sys
from aegis_dagster.workers.confinement import confine
given = json.loads(sys.argv[1])
confine(500, [given["staging"]])
exec(given["attack"], {"os": os, "result": given["result"], "victim": given["victim"]})
"""


@pytest.mark.parametrize("ends_well", [True, False])
@pytest.mark.parametrize(
    "attack",
    [
        "os.symlink(victim, result + '/pictures')",
        "os.mkdir(result + '/pictures'); os.symlink(victim + '/a.txt', result + '/pictures/1.png')",
        "os.rmdir(result); os.symlink(victim, result)",
        "os.symlink(victim + '/a.txt', result + '/manifest.json')",
        "os.mkfifo(result + '/manifest.json')",
    ],
)
def test_nothing_that_a_worker_puts_into_its_result_leads_us_elsewhere(
    tmp_path: Path, attack: str, ends_well: bool
) -> None:
    victim, store = tmp_path / "victim", FolderArtifacts(tmp_path / "artifacts", SystemClock())
    victim.mkdir()
    for name in ("a.txt", "b.txt"):
        (victim / name).write_text("precious")
    with pytest.raises(DocumentError), store.staging(Stage.PARSE, "ab12", replace=False) as result:
        given = {"staging": str(store.root / "staging"), "result": str(result), "victim": str(victim), "attack": attack}
        subprocess.run([sys.executable, "-c", PUTS_INTO_ITS_RESULT, json.dumps(given)], check=True, timeout=60)
        if not ends_well:
            raise DocumentError(FailureCode.TIMEOUT, "It said so.", remedy="none")
    assert {file.name: file.read_text() for file in victim.iterdir()} == {"a.txt": "precious", "b.txt": "precious"}
    assert all(file.stat().st_nlink == 1 for file in victim.iterdir())
    assert not store.exists(Stage.PARSE, "ab12")
    assert [file for file in store.root.rglob("*") if not file.is_dir()] == []


def test_what_this_process_writes_or_deletes_lies_where_no_worker_writes(tmp_path: Path) -> None:
    store = FolderArtifacts(tmp_path / "artifacts", SystemClock())
    with store.staging(Stage.ENRICH, "cd34", replace=False) as result:
        (result / "descriptions.json").write_text("[]")
        assert not result.is_relative_to(store.root / "staging")
    assert store.damage(Stage.ENRICH, "cd34") is None
