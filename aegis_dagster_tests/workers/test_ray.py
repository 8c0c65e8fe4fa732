"""On a Ray cluster tasks give what they give here, and what becomes of a node is no document's fault."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from aegis_dagster.composition.minilm import minilm_for_questions
from aegis_dagster.composition.project import Project
from aegis_dagster.digests import digests
from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import ConfigurationError, DocumentError, FailureCode
from aegis_dagster.settings.workers import WorkerSettings
from aegis_dagster.workers.ray.cluster import Share
from aegis_dagster_tests.support.places import REPOSITORY, SAMPLES
from aegis_dagster_tests.support.projects import bring_up, make_project, write_documents
from aegis_dagster_tests.support.ray_runners import Waiting, eventually, ray_runner, workers_of
from aegis_dagster_tests.support.servers.ray import RayCluster, RayNode
from aegis_dagster_tests.support.worker_processes import TEMPLATE

STAGES = (Stage.PARSE, Stage.ENRICH, Stage.CHUNK)
_SECONDS = 100.0
ON_LARGE = Share(3, 0, 500)  # fits on no node of the run's cluster, but on those that a test adds


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """A root with a few documents."""
    root = tmp_path / "root"
    write_documents(root, [f"{number}.md" for number in range(4)])
    (root / "with-picture.docx").write_bytes(next(SAMPLES.rglob("*.docx")).read_bytes())
    return root


@pytest.fixture
def large_node(ray_of_the_run: RayCluster, tmp_path: Path) -> Iterator[RayNode]:
    """A node that sees nothing of the test's folder; killed at the end."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    node = ray_of_the_run.add_node("127.0.0.4", cpus=4, without=hidden)
    yield node
    node.kill()


def on_ray(folder: Path, root: Path, cluster: RayCluster, **settings: object) -> Project:
    """A project whose workers are on the cluster."""
    workers = WorkerSettings.model_validate({"engine": "ray", "address": cluster.address, "seats": 2, **settings})
    return Project(make_project(folder, root=root, workers=workers).settings)


async def test_documents_become_the_same_on_a_cluster(
    ray_of_the_run: RayCluster, documents: Path, tmp_path: Path
) -> None:
    here = make_project(tmp_path / "here", root=documents)
    there = on_ray(tmp_path, documents, ray_of_the_run, embed={"num_cpus": 0.5, "num_gpus": 0.5})
    await bring_up(here)
    reports = await bring_up(there)
    assert [report.failures for report in reports.values()] == [[]] * len(Stage)
    assert digests(there) == digests(here)
    texts = ["The harbour of Eastmere.", "A tide gauge."]
    async with there.workbench() as bench:
        vectors = await bench.embedder.embed(texts, AskedFor())
    assert bench.embedder.device == "cpu"  # the card is only a number
    assert np.abs(vectors - minilm_for_questions(here.settings).embed_now(texts)).max() < 1e-5


async def test_a_node_that_lacks_our_files_gets_them_and_no_key(
    ray_of_the_run: RayCluster, large_node: RayNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "a-key-of-ours")
    hidden, root = tmp_path / "hidden", tmp_path / "root"
    write_documents(root, ["1.md"])
    (root / "with-picture.docx").write_bytes(next(SAMPLES.rglob("*.docx")).read_bytes())
    here = make_project(tmp_path / "here", root=root)
    await bring_up(here, stages=STAGES)
    (hidden / "root").mkdir()
    for file in root.iterdir():
        (hidden / "root" / file.name).write_bytes(file.read_bytes())
    shares = {task: {"num_cpus": 3} for task in ("parse", "chunk", "pictures", "ocr")}
    there = on_ray(hidden, hidden / "root", ray_of_the_run, seats=1, **shares)
    seen: set[str] = set()
    watching = asyncio.ensure_future(_watch_environments(large_node, seen))
    reports = await bring_up(there, stages=STAGES)
    watching.cancel()
    assert [report.failures for report in reports.values()] == [[], [], []]
    assert there.artifacts.digest() == here.artifacts.digest()
    assert "TMPDIR" in seen  # workers were seen
    assert {name for name in seen if name.startswith("RAY_") or "KEY" in name} == set()


async def test_a_task_outlives_the_nodes_that_it_is_given_to(
    ray_of_the_run: RayCluster, large_node: RayNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One node is killed and one stands still; the third was added meanwhile."""
    waiting = Waiting(tmp_path)
    async with ray_runner(ray_of_the_run, tmp_path, share=ON_LARGE) as runner:
        task = asyncio.ensure_future(runner.run("picture_facts", waiting.payload, timeout_seconds=300))
        await waiting.begun(lambda: workers_of(large_node))
        large_node.kill()
        await eventually(lambda: "that much on no node" in caplog.text)  # it says what is missing
        second = await asyncio.to_thread(ray_of_the_run.add_node, "127.0.0.5", cpus=4)
        third = None
        try:
            await waiting.begun(lambda: workers_of(second))
            second.pause()
            third = await asyncio.to_thread(ray_of_the_run.add_node, "127.0.0.6", cpus=4)
            await waiting.begun(lambda: workers_of(third))
            waiting.go_on()
            assert await task == {"facts": [None]}
            assert (runner.status.repeated, runner.status.crashed) == (2, 0)
            assert runner.status.lost >= 2  # and what was asked for on a node that went meanwhile
        finally:
            for node in (second, third):
                if node is not None:
                    node.kill()
    assert "asks for 3 CPU and 500 MB of memory" in caplog.text
    assert "127.0.0.2 with 2 CPU" in caplog.text


async def test_a_worker_that_crashes_is_tried_once_more(ray_of_the_run: RayCluster, tmp_path: Path) -> None:
    def reading() -> list[psutil.Process]:
        return [worker for node in ray_of_the_run.nodes for worker in workers_of(node)]

    async with ray_runner(ray_of_the_run, tmp_path, seats=2) as runner:
        waiting = Waiting(tmp_path)
        task = asyncio.ensure_future(runner.run("picture_facts", waiting.payload, timeout_seconds=300))
        for _ in range(2):
            await waiting.begun(reading)
            for worker in reading():
                worker.kill()
        with pytest.raises(DocumentError) as crashed:
            await task
        assert crashed.value.code is FailureCode.WORKER_CRASHED
        assert (runner.status.crashed, runner.status.repeated, runner.status.lost) == (2, 1, 0)
        with pytest.raises(DocumentError) as late:
            await runner.run("picture_facts", waiting.payload, timeout_seconds=1)
        assert late.value.code is FailureCode.TIMEOUT
        assert runner.status.repeated == 1  # a limit holds on every seat
        waiting.go_on()


async def test_what_no_node_can_hold_is_refused_with_what_there_is(ray_of_the_run: RayCluster, tmp_path: Path) -> None:
    async with ray_runner(ray_of_the_run, tmp_path, share=Share(1, 8, 500), waiting_seconds=1) as runner:
        with pytest.raises(ConfigurationError, match=r"asks for 1 CPU, 8 GPU and 500 MB of memory.*less"):
            await runner.run("picture_facts", {"paths": []}, timeout_seconds=5)


async def test_a_share_of_a_card_is_all_that_a_seat_sees(ray_of_the_run: RayCluster, tmp_path: Path) -> None:
    async with ray_runner(ray_of_the_run, tmp_path, share=Share(0.5, 0.5, 500), seats=2) as runner:
        tasks = [runner.run("picture_facts", {"paths": []}, timeout_seconds=60) for _ in range(8)]
        assert await asyncio.gather(*tasks) == [{"facts": []}] * 8
        assert runner.status.nodes == 1  # the one with a card, which two seats share


async def test_a_node_with_other_versions_is_refused(ray_of_the_run: RayCluster, tmp_path: Path) -> None:
    async with ray_runner(ray_of_the_run, tmp_path, versions={"Python": "3.9"}) as runner:
        with pytest.raises(ConfigurationError, match=r"for this machine: it has Python 3.11 instead of 3.9"):
            await runner.run("picture_facts", {"paths": []}, timeout_seconds=5)


async def test_a_killed_driver_leaves_no_seat_and_its_next_run_goes_on(
    ray_of_the_run: RayCluster, documents: Path, tmp_path: Path
) -> None:
    here = make_project(tmp_path / "here", root=documents)
    await bring_up(here, stages=STAGES)
    home = tmp_path / "there" / "home"
    with _driver(ray_of_the_run, home, documents) as driver:
        await asyncio.to_thread(_wait_for, driver, "parse 1")
        assert await asyncio.to_thread(_seats, ray_of_the_run)
        driver.send_signal(signal.SIGKILL)
    await eventually(lambda: not _seats(ray_of_the_run))
    again = on_ray(tmp_path / "there", documents, ray_of_the_run)
    await bring_up(again, stages=STAGES)
    assert again.artifacts.digest() == here.artifacts.digest()
    assert again.reports.digest() == here.reports.digest()


async def test_a_run_whose_head_is_killed_says_so_and_its_retry_goes_on(
    own_ray: RayCluster, documents: Path, tmp_path: Path
) -> None:
    with _driver(own_ray, tmp_path / "there" / "home", documents) as driver:
        await asyncio.to_thread(_wait_for, driver, "parse 1")
        own_ray.end()
        said, _ = await asyncio.to_thread(driver.communicate, timeout=120)
    assert "The head of the Ray cluster does not answer. Remedy: " in said
    here, again = make_project(tmp_path / "here", root=documents), make_project(tmp_path / "there", root=documents)
    await bring_up(here, stages=STAGES)
    reports = await bring_up(again, stages=STAGES)
    assert reports[Stage.PARSE].up_to_date >= 1
    assert again.artifacts.digest() == here.artifacts.digest()
    assert again.reports.digest() == here.reports.digest()  # no document has failed


def test_beyond_loopback_a_token_is_required(tmp_path: Path) -> None:
    refused = _refused(tmp_path, "10.1.2.3:6379")
    assert "is not on loopback, and token authentication is off" in refused
    assert "RAY_AUTH_MODE=token" in refused


def test_an_address_of_another_form_is_refused_for_its_form_and_not_for_want_of_a_token(tmp_path: Path) -> None:
    refused = _refused(tmp_path, "127.0.0.1", "ray://10.1.2.3:10001", "local", "10.1.2.3:ray", ":6379", "auto")
    lines = [line for line in refused.splitlines() if "which is no HOST:PORT" in line]
    assert [line.split()[0] for line in lines] == [*["workers.address"] * 5, "RAY_ADDRESS"]
    assert "token" not in refused


def _refused(home: Path, *addresses: str) -> str:
    """What a process says that connects to these, one after the other."""
    code = (
        "from aegis_dagster.errors import ConfigurationError\n"
        "from aegis_dagster.workers.ray.cluster import connect\n"
        f"for address in {addresses!r}:\n"
        "    try:\n        connect(address)\n    except ConfigurationError as error:\n        print(error)"
    )
    known = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    environment = {**known, "RAY_ADDRESS": "http://127.0.0.1:8265"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def _driver(cluster: RayCluster, home: Path, root: Path) -> "subprocess.Popen[str]":
    """A process that drives a run."""
    variables = {
        "AEGIS_HOME": str(home),
        "AEGIS_ROOT": str(root),
        "AEGIS_LISTING__SETTLE_SECONDS": "0",
        "AEGIS_WORKERS__ENGINE": "ray",
        "AEGIS_WORKERS__ADDRESS": cluster.address,
        "AEGIS_WORKERS__SEATS": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "aegis_dagster_tests.support.ray_driver"],
        env={**os.environ, **cluster.environment, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _wait_for(driver: "subprocess.Popen[str]", line: str) -> None:
    assert driver.stdout is not None
    late = threading.Timer(_SECONDS, driver.kill)  # then its output ends
    late.daemon = True
    late.start()
    said = []
    for each in driver.stdout:
        said.append(each)
        if each.strip() == line:
            return
    raise AssertionError("".join(said))


def _seats(cluster: RayCluster) -> list[psutil.Process]:
    """The actors on the cluster's nodes."""
    found = []
    for node in cluster.nodes:
        for process in node.processes():
            try:
                if "SeatActor" in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
    return found


async def _watch_environments(node: RayNode, seen: set[str]) -> None:
    """Note the variables of the workers on a node, and of what they are forked from."""
    while True:
        for process in await asyncio.to_thread(lambda: [*node.processes()]):
            try:
                if TEMPLATE in process.cmdline():
                    seen.update(process.environ())
            except psutil.Error:
                continue
        await asyncio.sleep(0.5)
