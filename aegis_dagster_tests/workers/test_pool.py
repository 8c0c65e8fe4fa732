"""Worker processes keep their limits, and a bad one costs nobody else."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from aegis_dagster.errors import DocumentError, FailureCode, ServiceError
from aegis_dagster.workers.pool import WorkerPool
from aegis_dagster.workers.processes import template_kept
from aegis_dagster_tests.support.worker_processes import templates
from aegis_dagster_tests.support.worker_processes import workers as children


@asynccontextmanager
async def pool(workers: int = 1, memory_mb: int = 2000) -> AsyncIterator[WorkerPool]:
    made = WorkerPool(workers=workers, memory_mb=memory_mb)
    try:
        yield made
    finally:
        await made.close()


def request(folder: Path, text: str = "A paragraph.") -> dict[str, Any]:
    """A parse task on a text file."""
    file = folder / "a.txt"
    file.write_text(text)
    return payload(file, folder, hashlib.sha256(text.encode()).hexdigest())


def payload(file: Path, folder: Path, revision: str | None) -> dict[str, Any]:
    out = folder / f"out-{os.urandom(4).hex()}"
    out.mkdir()
    limits = dict.fromkeys(("max_pages", "max_megabytes", "max_pictures", "max_picture_megabytes"), 10)
    options = {**limits, "pdf_route": "rules", "docling_models": None, "ocr": False}
    return {"path": str(file), "suffix": ".txt", "revision": revision, "out_dir": str(out), "options": options}


def hanging(folder: Path) -> tuple[str, dict[str, Any]]:
    """A task that waits for ever: its picture is a pipe nobody writes to."""
    pipe = folder / f"pipe-{os.urandom(4).hex()}"
    os.mkfifo(pipe)
    return "picture_facts", {"paths": [str(pipe)]}


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended with all of its threads: the last one closes its line."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() == 1
    except psutil.NoSuchProcess:
        return True


async def failure_of(awaitable: Awaitable[object]) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        await awaitable
    return caught.value


async def until(condition: Callable[[], object]) -> None:
    for _ in range(600):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise TimeoutError


async def test_a_task_answers_and_its_worker_is_used_again(tmp_path: Path) -> None:
    async with pool() as workers:
        first = await workers.run("parse", request(tmp_path), timeout_seconds=60)
        before = children()
        await workers.run("parse", request(tmp_path), timeout_seconds=60)
        assert first["characters"] == len("A paragraph.")
        assert children() == before and len(before) == 1
    assert children() == []


async def test_a_worker_is_replaced_when_it_has_grown_beyond_half_of_its_limit(tmp_path: Path) -> None:
    async with pool() as workers:
        await workers.run("parse", request(tmp_path), timeout_seconds=60)
        (worker,) = children()
        resident = worker.memory_info().rss / 2**20
    for memory_mb, kept in ((resident * 3, 1), (resident * 1.5, 0)):
        async with pool(memory_mb=int(memory_mb)) as workers:
            await workers.run("parse", request(tmp_path), timeout_seconds=60)
            assert len(children()) == kept


async def test_a_task_that_hangs_is_killed_and_the_next_one_runs(tmp_path: Path) -> None:
    async with pool() as workers:
        error = await failure_of(workers.run(*hanging(tmp_path), timeout_seconds=1.0))
        assert (error.code, error.retryable) == (FailureCode.TIMEOUT, True)
        assert children() == []
        assert (await workers.run("parse", request(tmp_path), timeout_seconds=60))["format"]


async def test_a_worker_that_dies_is_a_failure_of_its_document_alone(tmp_path: Path) -> None:
    async with pool(workers=2) as workers:
        doomed = asyncio.ensure_future(workers.run(*hanging(tmp_path), timeout_seconds=60))
        await until(children)
        victim = children()[0]
        other = asyncio.ensure_future(workers.run("parse", request(tmp_path), timeout_seconds=60))
        victim.kill()
        error = await failure_of(doomed)
        assert error.code is FailureCode.WORKER_CRASHED
        assert (await other)["characters"] > 0


async def test_a_worker_that_grows_too_large_is_killed(tmp_path: Path) -> None:
    async with pool(memory_mb=8) as workers:  # less than any Python process needs
        error = await failure_of(workers.run(*hanging(tmp_path), timeout_seconds=60))
        assert (error.code, error.retryable) == (FailureCode.MEMORY_LIMIT, True)


async def test_what_a_task_raises_crosses_the_process_with_its_remedy(tmp_path: Path) -> None:
    async with pool() as workers:
        error = await failure_of(workers.run("parse", request(tmp_path, ""), timeout_seconds=60))
        assert error.code is FailureCode.EMPTY_FILE
        assert error.remedy


async def test_a_module_in_the_working_directory_is_not_taken_for_the_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit('a file of the user')")
    monkeypatch.chdir(tmp_path)
    async with pool() as workers:
        assert (await workers.run("parse", request(tmp_path), timeout_seconds=60))["characters"] > 0


async def test_a_cancelled_task_takes_its_worker_with_it(tmp_path: Path) -> None:
    async with pool() as workers:
        task = asyncio.ensure_future(workers.run(*hanging(tmp_path), timeout_seconds=60))
        await until(children)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: not children())
        assert not children()


async def test_a_pool_that_is_closed_blames_no_document(tmp_path: Path) -> None:
    async with pool() as workers:
        asked = asyncio.ensure_future(workers.run(*hanging(tmp_path), timeout_seconds=60))
        await asyncio.sleep(1)  # it has begun
        await workers.close()
        with pytest.raises(ServiceError, match="were ended while they worked"):
            await asked


async def test_a_task_that_waits_for_a_pool_that_is_closed_starts_nothing(tmp_path: Path) -> None:
    async with pool() as workers:
        busy = asyncio.ensure_future(workers.run(*hanging(tmp_path), timeout_seconds=60))
        waiting = asyncio.ensure_future(workers.run("parse", request(tmp_path), timeout_seconds=60))
        await until(children)
    ended = await asyncio.gather(busy, waiting, return_exceptions=True)
    assert [type(each) for each in ended] == [ServiceError, ServiceError]
    assert templates() == children() == []


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize("how", ["cancelled", "closed"])
async def test_a_worker_that_is_starting_ends_with_its_task_or_its_pool(how: str, turns: int, tmp_path: Path) -> None:
    async with pool() as workers:
        asked = asyncio.ensure_future(workers.run(*hanging(tmp_path), timeout_seconds=60))
        for _ in range(turns):  # of the event loop: at each of them the start is somewhere else
            await asyncio.sleep(0)
        if how == "closed":
            await workers.close()
        else:
            asked.cancel()
        ended = (await asyncio.gather(asked, return_exceptions=True))[0]
        assert isinstance(ended, ServiceError if how == "closed" else asyncio.CancelledError)
        assert not children()
    assert not templates()


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio, json, sys\n"
        "from aegis_dagster.workers.pool import WorkerPool\n"
        "pool = WorkerPool(workers=1, memory_mb=2000)\n"
        "asyncio.run(pool.run(*json.loads(sys.argv[1]), timeout_seconds=60))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, json.dumps(hanging(tmp_path))])
    asyncio.run(until(lambda: children(parent.pid)))
    started = [*children(parent.pid), *templates(parent.pid)]
    parent.kill()
    parent.wait()
    assert len(started) == 2
    _, left = psutil.wait_procs(started, timeout=20)
    assert left == []


async def test_two_pools_of_a_run_fork_their_workers_from_one_process(tmp_path: Path) -> None:
    found = []
    with template_kept():
        for _ in range(2):
            async with pool(workers=2) as workers:
                asked = [workers.run("parse", request(tmp_path), timeout_seconds=60) for _ in range(4)]
                await asyncio.gather(*asked)
                found.append((templates(), children()))
            assert children() == []
    assert [len(forked) for _, forked in found] == [2, 2]
    assert found[0][0] == found[1][0] and len(found[0][0]) == 1
    assert templates() == []


async def test_what_is_loaded_beforehand_is_loaded_in_the_process_that_forks(tmp_path: Path) -> None:
    with template_kept({"parse": {}}):
        await until(lambda: templates() and "_multiarray_umath" in Path(f"/proc/{templates()[0].pid}/maps").read_text())
        before = templates()
        async with pool() as workers:
            await workers.run("parse", request(tmp_path), timeout_seconds=60)
            assert templates() == before and len(children()) == 1
    assert templates() == []
    with template_kept({"parse": {}}):
        pass  # ended before it has loaded anything
    assert templates() == []


async def test_a_template_that_is_lost_is_replaced_and_takes_its_workers_with_it(tmp_path: Path) -> None:
    async with pool() as workers:
        await workers.run("parse", request(tmp_path), timeout_seconds=60)
        (template,), (idle,) = templates(), children()
        template.kill()
        await until(lambda: is_gone(idle))
        await workers.run("parse", request(tmp_path), timeout_seconds=60)
        assert templates() != [template] and len(templates()) == len(children()) == 1
        doomed = asyncio.ensure_future(failure_of(workers.run(*hanging(tmp_path), timeout_seconds=60)))
        await asyncio.sleep(0.5)
        (template,), (busy,) = templates(), children()
        template.kill()
        assert (await doomed).code is FailureCode.WORKER_CRASHED
        await until(lambda: is_gone(busy))
        assert (await workers.run("parse", request(tmp_path), timeout_seconds=60))["characters"] > 0
    assert templates() == children() == []


async def test_where_no_process_is_left_no_document_is_to_blame_and_no_worker_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = tmp_path / "full"
    (tmp_path / "sitecustomize.py").write_text(
        "import errno, os\n"
        "fork = os.fork\n"
        "def refusing():\n"
        f"    if os.path.exists({str(full)!r}):\n"
        "        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))\n"
        "    return fork()\n"
        "os.fork = refusing\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    async with pool(workers=2) as workers:
        busy = asyncio.ensure_future(workers.run(*hanging(tmp_path), timeout_seconds=60))
        await until(children)
        before = (templates(), children())
        full.touch()
        with pytest.raises(ServiceError, match="Resource temporarily unavailable"):
            await workers.run("parse", request(tmp_path), timeout_seconds=60)
        full.unlink()
        assert (await workers.run("parse", request(tmp_path), timeout_seconds=60))["characters"] > 0
        assert (templates(), children()[:1]) == before
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)
    assert templates() == children() == []


async def test_a_worker_that_ended_while_nobody_asked_it_costs_no_document(tmp_path: Path) -> None:
    async with pool() as workers:
        await workers.run("parse", request(tmp_path), timeout_seconds=60)
        (idle,) = children()
        idle.kill()
        await until(lambda: is_gone(idle))
        assert (await workers.run("parse", request(tmp_path), timeout_seconds=60))["characters"] > 0


async def test_where_the_template_has_threads_each_worker_is_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import threading; threading.Timer(60, print).start()")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    async with pool(workers=2) as workers:
        asked = [workers.run("parse", request(tmp_path), timeout_seconds=60) for _ in range(4)]
        assert all(manifest["characters"] > 0 for manifest in await asyncio.gather(*asked))
        assert templates() == [] and len(children()) == 2
    assert children() == []
