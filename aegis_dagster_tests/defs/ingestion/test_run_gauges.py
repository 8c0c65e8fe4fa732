"""What runs push to a real Pushgateway: one group a collection and stage, of the last run."""

from pathlib import Path

import dagster as dg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from aegis_dagster.composition.project import Project
from aegis_dagster.definitions import build_definitions
from aegis_dagster.defs.ingestion.config import collections
from aegis_dagster.domain.stages import Stage
from aegis_dagster.settings import load_settings
from aegis_dagster.stores.catalog.counts import OTHERS
from aegis_dagster_tests.support.projects import scan, write_documents
from aegis_dagster_tests.support.servers.programs import free_port
from aegis_dagster_tests.support.servers.prometheus import Pushgateway
from aegis_dagster_tests.support.tasks_in_process import InProcessResource

Group = tuple[str, str]  # collection, stage


def make_project(folder: Path, patch: pytest.MonkeyPatch, gateway: str) -> Project:
    patch.setenv("AEGIS_HOME", str(folder / "home"))
    patch.setenv("AEGIS_ROOT", str(folder / "root"))
    patch.setenv("AEGIS_LISTING__SETTLE_SECONDS", "0")
    patch.setenv("AEGIS_METRICS__PUSHGATEWAY", gateway)
    (folder / "root").mkdir()
    return Project(load_settings())


def ingest(instance: dg.DagsterInstance, collection: str) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions(str(collections.name), [collection])
    job = build_definitions(InProcessResource(seconds_before_retry=0)).resolve_job_def("ingest")
    return job.execute_in_process(instance=instance, partition_key=collection, raise_on_error=False)


def pushed(gateway: Pushgateway) -> dict[Group, dict[str, float]]:
    """The gauges of each group; documents as `documents/STATUS`."""
    found: dict[Group, dict[str, float]] = {}
    for family in text_string_to_metric_families(gateway.text()):
        for sample in family.samples:
            if not sample.name.startswith("aegis_run_stage_"):
                continue
            assert sample.labels["job"] == "aegis_ingestion"
            name = sample.name.removeprefix("aegis_run_stage_")
            status = sample.labels.get("status")
            group = found.setdefault((sample.labels["collection"], sample.labels["stage"]), {})
            group[f"{name}/{status}" if status else name] = sample.value
    return found


def documents(gauges: dict[str, float]) -> dict[str, float]:
    """By status, without zeros."""
    return {name.split("/")[1]: value for name, value in gauges.items() if name.startswith("documents/") and value}


def warnings_of(instance: dg.DagsterInstance, run: dg.ExecuteInProcessResult) -> list[str]:
    return [entry.user_message for entry in instance.all_logs(run.run_id) if "Pushgateway" in entry.user_message]


def test_each_collection_and_stage_has_its_own_group_that_only_its_next_run_replaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pushgateway: Pushgateway, instance: dg.DagsterInstance
) -> None:
    project = make_project(tmp_path, monkeypatch, pushgateway.url)
    write_documents(project.root, ["c/a.txt", "c/b.txt", "d/a.txt"])
    (project.root / "c" / "bad.pdf").write_bytes(b"")
    before = project.clock.now().timestamp()
    first = ingest(instance, "c")
    assert first.success and ingest(instance, "d").success
    groups = pushed(pushgateway)
    assert set(groups) == {(name, stage.value) for name in ("c", "d") for stage in Stage}
    assert documents(groups["c", "parse"]) == {"done": 2, "failed": 1}
    assert documents(groups["c", "embed"]) == {"done": 2, "skipped": 1}
    assert documents(groups["d", "parse"]) == documents(groups["d", "graph"]) == {"done": 1}
    for gauges in groups.values():
        assert gauges["peak_memory_bytes"] > 50 * 2**20  # an interpreter with this project loaded
        assert 0 < gauges["seconds"] < 120
        assert before < gauges["finished_timestamp_seconds"] <= project.clock.now().timestamp()
    assert warnings_of(instance, first) == []

    assert ingest(instance, "c").success
    again = pushed(pushgateway)
    assert {group: again[group] for group in groups if group[0] == "d"} == {
        group: gauges for group, gauges in groups.items() if group[0] == "d"
    }
    assert documents(again["c", "embed"]) == {"up_to_date": 3}
    name = "finished_timestamp_seconds"
    assert all(again["c", stage.value][name] > groups["c", stage.value][name] for stage in Stage)


def test_collections_beyond_the_most_share_a_group_and_one_without_documents_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pushgateway: Pushgateway, instance: dg.DagsterInstance
) -> None:
    monkeypatch.setenv("AEGIS_METRICS__MOST_COLLECTIONS", "1")
    project = make_project(tmp_path, monkeypatch, pushgateway.url)
    write_documents(project.root, ["c/a.txt", "d/a.txt"])
    assert ingest(instance, "c").success and ingest(instance, "d").success
    assert set(pushed(pushgateway)) == {(name, stage.value) for name in ("c", OTHERS) for stage in Stage}

    (project.root / "c" / "a.txt").unlink()
    scan(project)
    clean_up = build_definitions(InProcessResource(seconds_before_retry=0)).resolve_job_def("clean_up")
    assert clean_up.execute_in_process(instance=instance).success
    assert set(pushed(pushgateway)) == {(OTHERS, stage.value) for stage in Stage}


def test_a_gateway_that_is_down_costs_a_warning_a_stage_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    project = make_project(tmp_path, monkeypatch, f"http://127.0.0.1:{free_port()}")
    write_documents(project.root, ["c/a.txt"])
    run = ingest(instance, "c")
    assert run.success and len(run.get_asset_materialization_events()) == len(Stage)
    said = warnings_of(instance, run)
    assert len(said) == len(Stage) and all("Connection refused" in line and "Remedy" in line for line in said)


def test_a_stage_that_failed_pushes_what_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pushgateway: Pushgateway, instance: dg.DagsterInstance
) -> None:
    project = make_project(tmp_path, monkeypatch, pushgateway.url)
    write_documents(project.root, ["c/a.txt"])
    project.settings.artifacts_dir.mkdir(parents=True)
    (project.settings.artifacts_dir / "chunk").write_text("a file where a folder should be")
    assert not ingest(instance, "c").success
    groups = pushed(pushgateway)
    assert set(groups) == {("c", stage.value) for stage in (Stage.PARSE, Stage.ENRICH, Stage.CHUNK)}
    assert documents(groups["c", "chunk"]) == {}
    assert groups["c", "chunk"]["documents/done"] == 0 and groups["c", "chunk"]["seconds"] > 0
