"""An ingestion whose stages run in containers gives what one in this process gives; and a whole run in a container."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher.base import LaunchRunContext, WorkerStatus

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.containers.left_behind import remove_of_runs_that_are_over
from aegis_dagster.defs.runs import OVER
from aegis_dagster.digests import digests
from aegis_dagster.settings import load_settings
from aegis_dagster_tests.support.dagster_runs import STEPS
from aegis_dagster_tests.support.projects import bring_up, make_project, write_documents
from aegis_dagster_tests.support.servers.docker import DockerEngine
from aegis_dagster_tests.support.waiting import until

pytestmark = pytest.mark.slow
RUNNER = "aegis_dagster_tests.support.run_assets"


def materialize(*assets: str) -> str:
    """Materialize assets of the collection `c`. Returns the id of the run."""
    command = [sys.executable, "-m", RUNNER, "ingest_in_containers", "c", *assets]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def test_stages_in_containers_give_the_digest_of_stages_in_this_process(
    docker_with_gpus: DockerEngine,
    home: Path,
    instance: dg.DagsterInstance,
    use: Callable[[DockerEngine], None],
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


def test_a_whole_run_in_a_container(
    docker_with_gpus: DockerEngine, home: Path, use: Callable[[DockerEngine], None]
) -> None:
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
