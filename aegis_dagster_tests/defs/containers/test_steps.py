"""Steps and whole runs in containers of a real Docker engine: what each is given, how it ends, and that none stays.

They are in one file, so that one process uses the engine of the test run at a time: containers are counted.
"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher.base import LaunchRunContext, WorkerStatus

from aegis_dagster.cli.doctor_containers import containers_finding
from aegis_dagster.composition.project import Project
from aegis_dagster.defs.containers.engine import labels
from aegis_dagster.defs.containers.left_behind import remove_of_runs_that_are_over
from aegis_dagster.defs.runs import OVER
from aegis_dagster.digests import digests
from aegis_dagster.settings import load_settings
from aegis_dagster_tests.support.container_steps import RESUME, execute, seen, steps
from aegis_dagster_tests.support.dagster_runs import STEPS
from aegis_dagster_tests.support.projects import bring_up, make_project, write_documents
from aegis_dagster_tests.support.servers.docker import IMAGE, DockerEngine, machine
from aegis_dagster_tests.support.waiting import until

pytestmark = pytest.mark.slow
Use = Callable[[DockerEngine], None]
RUNNER = "aegis_dagster_tests.support.container_steps"


def failures(instance: dg.DagsterInstance, run_id: str) -> dict[str, str]:
    """Why each step failed in the end."""
    logged = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    events = [entry.dagster_event for entry in logged if entry.dagster_event is not None]
    return {str(event.step_key): str(event.step_failure_data.error_display_string) for event in events}


def retried(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """The steps that had to be tried again, once for each time."""
    return [str(entry.step_key) for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY)]


def containers(engine: DockerEngine) -> list[Any]:
    return list(engine.client().containers.list(all=True))


@contextmanager
def run_worker(home: Path, step: str, option: str = "") -> Iterator["subprocess.Popen[bytes]"]:
    """A process that runs a step, which has begun."""
    with (home / "worker.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", RUNNER, option or step], stdout=log, stderr=log)
    try:
        until(lambda: (home / f"{step}.0").exists())
        yield process
    finally:
        process.kill()
        process.wait()


def test_each_step_gets_the_gpus_and_the_keys_that_it_needs(
    docker_with_gpus: DockerEngine, home: Path, instance: dg.DagsterInstance, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(docker_with_gpus)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody")
    monkeypatch.setenv("AEGIS_NOTIFY", "json://user:password@example.org")
    before = len(docker_with_gpus.gpu_containers)
    result = execute(instance, "plain", "on_card")
    assert result.success
    assert len(docker_with_gpus.gpu_containers) == before + 1
    plain, on_card = seen(home, "plain"), seen(home, "on_card")
    assert (plain["OPENAI_API_KEY"], on_card["OPENAI_API_KEY"]) == ("withheld-from-this-container", "sk-of-nobody")
    assert plain["AEGIS_HOME"] == str(home) and not {"AEGIS_NOTIFY", "DOCKER_HOST"} & {*plain, *on_card}
    told = "".join(str(entry) for entry in instance.all_logs(result.run_id))
    assert "sk-of-nobody" not in told
    assert containers(docker_with_gpus) == []
    assert containers_finding(Project(load_settings())).ok
    monkeypatch.setenv("AEGIS_CONTAINERS__IMAGE", "not-there:1")
    absent = containers_finding(Project(load_settings()))
    assert not absent.ok and "does not have the image not-there:1 yet" in absent.state


def test_a_step_that_cannot_run_fails_at_once_with_a_remedy_and_costs_the_others_nothing(
    own_docker: DockerEngine, home: Path, instance: dg.DagsterInstance, use: Use
) -> None:
    use(own_docker)
    names = ["on_card", "dies_at_once", "killed_once", "without_image", "without_folder", "with_wrong_option"]
    result = execute(instance, *names, "needs_much")
    why = failures(instance, result.run_id)
    told = {
        "on_card": "nvidia-container-toolkit",
        "dies_at_once": "is not a directory or does not exist",  # what the container printed last
        "without_image": "127.0.0.1:9/none:1 is not on the Docker engine and cannot be pulled",
        "without_folder": "bind source path does not exist: /nowhere",
        "with_wrong_option": "should specify the units",
        "needs_much": "raise `mem_limit`",
    }
    assert {step: text for step, text in told.items() if text not in why.get(step, "")} == {}
    assert why.keys() == told.keys() and retried(instance, result.run_id) == ["killed_once"]
    assert containers(own_docker) == []
    absent = execute(instance, "plain", networks=["no-network-of-ours"])
    assert "docker network create" in failures(instance, absent.run_id)["plain"]
    assert containers(own_docker) == []


def test_a_killed_engine_that_comes_back_costs_an_attempt_and_one_that_does_not_is_named(
    own_docker: DockerEngine, home: Path, instance: dg.DagsterInstance, use: Use
) -> None:
    use(own_docker)
    with run_worker(home, "waits") as worker:
        own_docker.stop(signal.SIGKILL)
        own_docker.start()
        (home / "go").touch()
        worker.wait()
    (run,) = instance.get_runs()
    assert run.status is dg.DagsterRunStatus.SUCCESS and containers(own_docker) == []
    assert retried(instance, run.run_id) == ["waits"]
    own_docker.stop()
    try:
        refused = execute(instance, "plain")
    finally:
        own_docker.start()
    assert f"The Docker engine at {own_docker.host} cannot be reached" in failures(instance, refused.run_id)["plain"]
    assert retried(instance, refused.run_id) == ["plain"] * 3


def test_a_run_that_goes_on_in_another_process_finds_its_container_and_cancelled_leaves_none(
    docker_with_gpus: DockerEngine, home: Path, instance: dg.DagsterInstance, use: Use
) -> None:
    use(docker_with_gpus)
    with run_worker(home, "waits") as worker:
        worker.kill()
        worker.wait()
    (run,), (container,) = instance.get_runs(), containers(docker_with_gpus)
    config = container.attrs["Config"]
    assert config["Labels"]["dagster/step_key"] == "waits"
    assert "instance_ref" not in str(config["Cmd"])  # nobody reads the storage's password out of a command
    with run_worker(home, "waits", RESUME) as other:
        until(lambda: any("in-progress step waits" in entry.message for entry in instance.all_logs(run.run_id)))
        assert [one.id for one in containers(docker_with_gpus)] == [container.id]
        instance.report_run_canceling(run)  # as every launcher does
        other.send_signal(signal.SIGTERM)
        other.wait()
    (run,) = instance.get_runs()
    assert run.status is dg.DagsterRunStatus.CANCELED and containers(docker_with_gpus) == []
    assert retried(instance, run.run_id) == [] and not (home / "waits.1").exists()


def test_what_a_killed_run_left_is_removed_and_containers_of_others_are_not(
    docker_with_gpus: DockerEngine, home: Path, instance: dg.DagsterInstance, use: Use
) -> None:
    use(docker_with_gpus)
    over, at_work = (instance.create_run_for_job(steps()) for _ in range(2))
    instance.report_run_failed(over, "its process was killed")
    client, sleep = docker_with_gpus.client(), ["sleep", "600"]
    marks = [labels(instance, run, "waits") for run in (over, at_work)]
    marks.append({**marks[0], "aegis/instance": "of somebody else"})
    made = [client.containers.run(IMAGE, sleep, detach=True, labels=mark, **machine()) for mark in marks]
    try:
        remove_of_runs_that_are_over(instance, Project(load_settings()))
        left = {one.id for one in containers(docker_with_gpus)}
        assert [one.id in left for one in made] == [False, True, True]
    finally:
        for one in made[1:]:
            one.remove(force=True)


def materialize(*assets: str) -> str:
    """Materialize assets of the collection `c`. Returns the id of the run."""
    command = [sys.executable, "-m", "aegis_dagster_tests.support.run_assets", "ingest_in_containers", "c", *assets]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def test_stages_in_containers_give_the_digest_of_stages_in_this_process(
    docker_with_gpus: DockerEngine,
    home: Path,
    instance: dg.DagsterInstance,
    use: Use,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(docker_with_gpus)
    names = ["c/a.txt", "c/b.md", "c/deep/c.txt"]
    local = make_project(tmp_path / "local")
    for project in (local, Project(load_settings())):
        write_documents(project.root, names)
    asyncio.run(bring_up(local))
    before = len(docker_with_gpus.gpu_containers)
    refused = instance.get_run_by_id(materialize("parsed_documents"))
    assert refused is not None and refused.status is dg.DagsterRunStatus.FAILURE
    (failure,) = instance.all_logs(refused.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    assert "1 GPUs are wanted, and this process sees none" in str(failure.dagster_event)
    assert len(docker_with_gpus.gpu_containers) == before + 1  # the stub let it begin, and no card was there
    monkeypatch.setenv("AEGIS_CONTAINERS__GPUS", "0")
    done = instance.get_run_by_id(materialize(*STEPS))
    assert done is not None and done.status is dg.DagsterRunStatus.SUCCESS
    assert digests(Project(load_settings())) == digests(local)
    assert docker_with_gpus.client().containers.list(all=True) == []


def test_a_whole_run_in_a_container(docker_with_gpus: DockerEngine, home: Path, use: Use) -> None:
    use(docker_with_gpus)
    launcher = "run_launcher: {module: aegis_dagster.defs.containers.launcher, class: ContainerRunLauncher}\n"
    with (home / "dagster" / "dagster.yaml").open("a") as file:
        file.write(launcher)
    write_documents(Project(load_settings()).root, ["c/a.txt"])
    job = ReconstructableRepository.for_module("aegis_dagster.definitions", "defs").get_reconstructable_job("scan_root")
    with dg.DagsterInstance.get() as instance:
        run = instance.create_run_for_job(job.get_definition(), job_code_origin=job.get_python_origin())
        instance.run_launcher.launch_run(LaunchRunContext(run, None))

        def now() -> dg.DagsterRun:
            again = instance.get_run_by_id(run.run_id)
            assert again is not None
            return again

        until(lambda: now().status in OVER)
        assert now().status is dg.DagsterRunStatus.SUCCESS
        assert [document.id for document in Project(load_settings()).documents.all()] == ["c/a.txt"]
        client = docker_with_gpus.client()
        client.containers.get(now().tags["docker/container_id"]).wait()
        health = instance.run_launcher.check_run_worker_health(now())
        assert health.status is WorkerStatus.FAILED and "Its last lines" in str(health.msg)
        remove_of_runs_that_are_over(instance, Project(load_settings()))
        assert client.containers.list(all=True) == []
