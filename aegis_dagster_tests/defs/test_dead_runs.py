"""Runs whose process is killed: found by its owner, marked as failed, started again by Dagster. Real processes."""

import logging
import os
import re
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import consume_new_runs_for_automatic_reexecution

from aegis_dagster.cli.dagster_runs import put_dagster_yaml
from aegis_dagster.composition.project import Project
from aegis_dagster.definitions import build_definitions
from aegis_dagster.defs.jobs import ASSET_JOB, JOB_NAMES
from aegis_dagster.defs.runs import done_by, fail_dead_runs
from aegis_dagster.process_identity import new_owner
from aegis_dagster_tests.support.cli_process import Aegis
from aegis_dagster_tests.support.dagster_daemon import Daemon
from aegis_dagster_tests.support.projects import write_documents
from aegis_dagster_tests.support.waiting import until

HERE, ELSEWHERE = "aegis_dagster.definitions", "somebody.else"
STARTED = dg.DagsterRunStatus.STARTED
LAUNCH = """mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {__typename ...on LaunchRunSuccess {run {id}}}
}"""


@pytest.fixture
def gone() -> int:
    """The id of a process that was killed."""
    process = subprocess.Popen(["sleep", "60"])
    process.kill()
    process.wait()
    return process.pid


@pytest.fixture
def living() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def status(instance: dg.DagsterInstance, run_id: str) -> str:
    run = instance.get_run_by_id(run_id)
    return "" if run is None else run.status.value


def launched(
    instance: dg.DagsterInstance, pid: int, *, location: str = HERE, run_id: str | None = None, **tags: str
) -> str:
    """A run of the UI's button Materialize as Dagster leaves it when it has launched it in a process."""
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), "__repository__")
    run = instance.create_run_for_job(
        build_definitions().resolve_implicit_global_asset_job_def(),
        run_id=run_id,
        tags=tags,
        status=STARTED,
        asset_selection={dg.AssetKey("parsed_documents")},
        remote_job_origin=RemoteJobOrigin(repository, job_name=ASSET_JOB),
    )
    instance.report_engine_event(f"Started process for run (pid: {pid}).", run)
    return run.run_id


def test_a_run_of_the_button_materialize_is_failed_once_its_process_is_gone(
    instance: dg.DagsterInstance, living: "subprocess.Popen[bytes]"
) -> None:
    run_id = launched(instance, living.pid)
    assert fail_dead_runs(instance, JOB_NAMES, HERE) == [] and status(instance, run_id) == "STARTED"
    living.kill()
    living.wait()
    assert fail_dead_runs(instance, JOB_NAMES) == [run_id]  # a schedule knows no location; the tag says enough
    assert status(instance, run_id) == "FAILURE"
    assert fail_dead_runs(instance, JOB_NAMES, HERE) == []


def test_a_run_that_nobody_has_seen_alive_is_failed_where_it_was_launched(
    instance: dg.DagsterInstance, gone: int
) -> None:
    here, elsewhere = launched(instance, gone), launched(instance, gone, location=ELSEWHERE)
    assert fail_dead_runs(instance, JOB_NAMES) == []
    assert fail_dead_runs(instance, JOB_NAMES, HERE) == [here]
    assert status(instance, elsewhere) == "STARTED"  # it may be on another machine, where the process lives


def test_runs_on_another_host_are_not_judged(instance: dg.DagsterInstance, gone: int) -> None:
    run_id = str(uuid.uuid4())
    owner = re.sub(r"^[^|]+\|\d+", f"another-host|{gone}", new_owner())
    assert launched(instance, gone, run_id=run_id, **done_by(run_id, owner)) == run_id
    assert fail_dead_runs(instance, JOB_NAMES, HERE) == []


def test_what_a_run_was_done_by_says_nothing_of_the_run_that_tries_it_again(
    instance: dg.DagsterInstance, living: "subprocess.Popen[bytes]", gone: int
) -> None:
    owner = new_owner().replace(f"|{os.getpid()}|", f"|{gone}|")
    copied = done_by("the run that failed", owner)
    assert launched(instance, living.pid, **copied)
    assert fail_dead_runs(instance, JOB_NAMES, HERE) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="elsewhere the start of a process is a time of day")
def test_a_clock_that_is_set_fails_no_run(
    instance: dg.DagsterInstance, living: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, booted = launched(instance, living.pid), psutil.boot_time()
    assert fail_dead_runs(instance, JOB_NAMES, HERE) == []
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: booted + 3600)  # as /proc/stat tells it then
    assert fail_dead_runs(instance, JOB_NAMES, HERE) == [] and status(instance, run_id) == "STARTED"


def test_a_command_that_is_killed_leaves_no_run_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_documents(tmp_path / "root", [f"c/{number}.txt" for number in range(40)])
    aegis = Aegis(tmp_path / "home", tmp_path / "root")
    for name, value in aegis.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    aegis.home.joinpath("dagster").mkdir(parents=True)
    put_dagster_yaml(aegis.home / "dagster")
    with dg.DagsterInstance.from_config(str(aegis.home / "dagster")) as instance:
        run = killed_run(instance, aegis.start("ingest"))
        assert status(instance, run.run_id) == "STARTED"
        assert [request.partition_key for request in Daemon(instance).requests()] == ["c"]
        ended = instance.get_run_by_id(run.run_id)
        assert ended is not None
        assert (ended.status.value, ended.tags["dagster/will_retry"]) == ("FAILURE", "false")


def killed_run(instance: dg.DagsterInstance, process: "subprocess.Popen[str]") -> dg.DagsterRun:
    """The run of a command that is killed, with all its processes, as soon as the run has begun."""
    with process:
        until(lambda: bool(instance.get_runs(dg.RunsFilter(statuses=[STARTED]))) or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        os.killpg(process.pid, signal.SIGKILL)
    (run,) = instance.get_runs()
    return run


@contextmanager
def code_server(instance: dg.DagsterInstance) -> Iterator[WorkspaceProcessContext]:
    """The definitions in a code server of their own, as `dagster dev` loads them."""
    target = ModuleTarget(HERE, None, str(Path.cwd()), None)
    with WorkspaceProcessContext(instance, target) as workspace:
        yield workspace


@pytest.mark.slow
def test_what_the_button_materialize_launched_is_started_again_after_it_was_killed(
    project: Project, tmp_path: Path
) -> None:
    """All as in the UI, whose query launches it. What the daemon does starts it again; that one is killed, too."""
    from dagster_graphql.test.utils import execute_dagster_graphql

    write_documents(project.root, [f"c/{number}.txt" for number in range(10)])
    settings = {
        "run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False},
        # No daemon takes runs from a queue here.
        "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
    }
    with (
        dg.DagsterInstance.local_temp(str(tmp_path), settings) as instance,
        code_server(instance) as workspace,
    ):
        assert [request.partition_key for request in Daemon(instance).requests()] == ["c"]
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": HERE,
            "jobName": ASSET_JOB,
            "assetSelection": [{"path": ["parsed_documents"]}],
            "assetCheckSelection": [],
        }
        tags = {"tags": [{"key": "dagster/partition", "value": "c"}]}
        params = {"selector": selector, "runConfigData": {}, "mode": "default", "executionMetadata": tags}
        answer = execute_dagster_graphql(workspace.create_request_context(), LAUNCH, {"params": params})
        run_id = answer.data["launchPipelineExecution"]["run"]["id"]
        until(lambda: status(instance, run_id) == "STARTED")
        assert Daemon(instance).requests() == []  # nothing beside it
        assert fail_dead_runs(instance, JOB_NAMES, HERE) == []
        kill_run(instance, run_id)
        until(lambda: fail_dead_runs(instance, JOB_NAMES, HERE) == [run_id])

        records = instance.get_run_records(dg.RunsFilter(run_ids=[run_id]))
        list(consume_new_runs_for_automatic_reexecution(workspace, records, logging.getLogger(__name__)))
        (again,) = [run.run_id for run in instance.get_runs() if run.run_id != run_id]
        until(lambda: status(instance, again) == "STARTED")
        assert fail_dead_runs(instance, JOB_NAMES, HERE) == []  # Dagster copied the tags of the one that was killed
        kill_run(instance, again)
        until(lambda: fail_dead_runs(instance, JOB_NAMES, HERE) == [again])


def kill_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Its process and those of its steps."""
    events = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT).records
    said = "\n".join(event.event_log_entry.message for event in events)
    (pid,) = re.findall(r"Started process for run \(pid: (\d+)\)", said)
    process = psutil.Process(int(pid))
    for each in [process, *process.children(recursive=True)]:
        each.kill()
