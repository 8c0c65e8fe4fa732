"""The job `ingest_on_ray`: when it is there, and that no job in the cluster outlives its run."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from aegis_dagster.defs.ingestion.assets import ASSETS
from aegis_dagster_tests.support.cli_process import Aegis
from aegis_dagster_tests.support.run_on_ray import start_run
from aegis_dagster_tests.support.servers.ray import RayCluster, need_ray
from aegis_dagster_tests.support.servers.silence import web_server
from aegis_dagster_tests.support.waiting import until

_LOAD = """import sys, json
from aegis_dagster.definitions import build_definitions
jobs = [job.name for job in build_definitions().resolve_all_job_defs()]
print(json.dumps({"jobs": jobs, "imported": [name for name in ("ray", "dagster_ray") if name in sys.modules]}))"""


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_the_job_is_there_where_settings_ask_for_it_and_loads_no_ray(tmp_path: Path, engine: str) -> None:
    need_ray()
    environment = Aegis(tmp_path).environment() | {"AEGIS_WORKERS__ENGINE": engine}
    done = subprocess.run(
        [sys.executable, "-c", _LOAD], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert ("ingest_on_ray" in found["jobs"], found["imported"]) == (
        (True, ["dagster_ray"]) if engine == "ray" else (False, [])
    )


def test_a_step_takes_memory_of_a_node_and_leaves_cards_and_whole_cpus_to_its_workers() -> None:
    shares = {asset.key.to_user_string(): json.loads(asset.op.tags["dagster-ray/config"]) for asset in ASSETS}
    light = {"memory": 2**30}
    heavy = {"memory": 2**30, "num_cpus": 0.5}
    steps = ("parsed_documents", "enriched_images", "chunks", "embeddings", "knowledge_graph")
    assert shares == dict(zip(steps, (light, light, light, heavy, heavy), strict=True))


def test_a_step_in_the_cluster_ends_with_its_run_however_that_ended(ray_of_the_run: RayCluster, tmp_path: Path) -> None:
    from ray.job_submission import JobSubmissionClient

    (tmp_path / "files").mkdir()
    with web_server(tmp_path / "files") as server:
        server.silence()
        settings = {
            "root": server.url,
            "listing": {"patience_seconds": 600},
            "workers": {"engine": "ray", "address": ray_of_the_run.address},
        }
        (tmp_path / "aegis.yaml").write_text(json.dumps(settings), "utf-8")
        own = {"AEGIS_CONFIG": str(tmp_path / "aegis.yaml"), "DAGSTER_HOME": str(tmp_path / "dagster")}
        log = tmp_path / "log"
        process = start_run("c", ["parsed_documents"], Aegis(tmp_path / "home").environment() | own, log)
        until(lambda: process.poll() is not None or (tmp_path / "dagster" / "history" / "runs.db").exists())
        with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
            until(lambda: process.poll() is not None or has_begun(instance), "the beginning of the step")
            assert process.poll() is None, log.read_text("utf-8")
            (run,) = instance.get_runs()
            process.kill()  # so that nobody stops the job
            process.wait()
            client = JobSubmissionClient(ray_of_the_run.dashboard)
            assert [job.status for job in jobs_of(client, run.run_id)] == ["RUNNING"]
            instance.report_run_canceled(run)  # as the UI does for "force termination"
            until(lambda: all(job.status.is_terminal() for job in jobs_of(client, run.run_id)), "the end of the job")
            (job,) = jobs_of(client, run.run_id)
            assert f"Run {run.run_id} is over" in client.get_job_logs(job.submission_id)


def jobs_of(client: Any, run_id: str) -> list[Any]:
    """The jobs of a run in the cluster."""
    return [job for job in client.list_jobs() if (job.metadata or {}).get("dagster/run-id") == run_id]


def has_begun(instance: dg.DagsterInstance) -> bool:
    """Whether the step itself has begun: from then on it looks after its run."""
    entries = [entry for run in instance.get_runs() for entry in instance.all_logs(run.run_id)]
    return any(entry.dagster_event_type is dg.DagsterEventType.STEP_START for entry in entries)
