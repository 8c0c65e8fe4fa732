"""What Dagster's storage says of assets and runs, read without changing or making a file of it."""

import hashlib
import sqlite3
from pathlib import Path

import dagster as dg
import pytest

from aegis_dagster.cli.dagster_runs import put_dagster_yaml
from aegis_dagster.composition.project import Project
from aegis_dagster.definitions import build_definitions
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.defs.run_metrics import OTHER_JOBS, read_runs
from aegis_dagster.errors import ServiceError
from aegis_dagster.settings import load_settings


@dg.op
def breaks() -> None:
    raise dg.Failure("on purpose")


@dg.job
def of_somebody_else() -> None:
    breaks()


def contents(folder: Path) -> dict[str, str]:
    """Every file with a hash of it. A reader may leave SQLite's own files beside a database."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.endswith(("-shm", "-wal"))
    }


def test_without_an_instance_runs_are_0_and_nothing_is_made(tmp_path: Path) -> None:
    home = tmp_path / "dagster"
    numbers = read_runs(home)
    assert not home.exists()
    assert numbers.last_success == {}
    assert numbers.runs["ingest", "success"] == numbers.runs[OTHER_JOBS, "failure"] == 0
    home.mkdir()
    put_dagster_yaml(home)  # as the first `aegis ingest` does, before there is a storage
    assert read_runs(home) == numbers
    assert [file.name for file in home.iterdir()] == ["dagster.yaml"]


def test_runs_and_materializations_are_those_of_the_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AEGIS_ROOT", str(tmp_path))
    home = tmp_path / "dagster"
    home.mkdir()
    put_dagster_yaml(home)
    assert Project(load_settings()).documents.all() == []
    before = read_runs(home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        job = build_definitions(ProjectResource(seconds_before_retry=0)).resolve_job_def("check_costs")
        assert job.execute_in_process(instance=instance).success
        assert not of_somebody_else.execute_in_process(instance=instance, raise_on_error=False).success
        event = instance.get_latest_materialization_event(dg.AssetKey("llm_costs"))
        assert event is not None
        held = contents(home)
        numbers = read_runs(home)  # while another has it open
    assert numbers.last_success == {"llm_costs": event.timestamp}
    assert {key for key, count in numbers.runs.items() if count} == {
        ("check_costs", "success"),
        (OTHER_JOBS, "failure"),
    }
    assert numbers.runs.keys() == before.runs.keys()
    assert contents(home) == held

    with sqlite3.connect(home / "history" / "runs.db", timeout=0) as locked:
        locked.execute("BEGIN IMMEDIATE")  # somebody writes
        assert read_runs(home) == numbers
    (home / "history" / "runs.db").write_bytes(b"no database" * 1000)
    with pytest.raises(ServiceError, match="Dagster's storage"):
        read_runs(home)
