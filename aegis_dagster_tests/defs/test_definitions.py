"""The assets, checks and jobs in a real Dagster instance."""

import subprocess
import sys
from pathlib import Path

import dagster as dg

from aegis_dagster.composition.project import Project
from aegis_dagster.definitions import build_definitions
from aegis_dagster.defs.ingestion.config import collections
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster_tests.support.dagster_runs import STEPS, checks, metadata, run
from aegis_dagster_tests.support.places import REPOSITORY
from aegis_dagster_tests.support.projects import recorded, write_documents


def test_dagster_validates_the_workspace(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "dagster"), "definitions", "validate", "-w", "workspace.yaml"]
    repository = REPOSITORY
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "passed validation" in done.stdout + done.stderr


def test_the_definitions_are_valid() -> None:
    dg.Definitions.validate_loadable(build_definitions())
    graph = build_definitions().resolve_asset_graph()
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == {*STEPS, "llm_costs", "monthly_cost_report"}


def test_a_materialization_brings_the_collection_up_to_date_and_says_what_it_did(
    project: Project, instance: dg.DagsterInstance
) -> None:
    write_documents(project.root, ["c/a.txt", "c/b.txt", "d/a.txt"])
    (project.root / "c" / "bad.pdf").write_bytes(b"")
    result = run(instance)
    assert result.success
    parsed = metadata(result, "parsed_documents")
    assert (parsed["documents"], parsed["documents_done"], parsed["documents_failed"]) == (3, 2, 1)
    assert "empty_file" in str(parsed["failures"]) and "c/bad.pdf" in str(parsed["failures"])
    assert "Report c/a.txt" in str(parsed["preview"])
    assert metadata(result, "embeddings")["dagster/partition_row_count"] == project.vectors.count()
    assert set(project.vectors.counts_by_document()) == {"c/a.txt", "c/b.txt"}  # the other partition is untouched
    assert set(instance.get_dynamic_partitions(str(collections.name))) == {"c", "d"}
    again = run(instance)
    assert metadata(again, "parsed_documents")["documents_up_to_date"] == 3
    work = [value for step in STEPS for key, value in metadata(again, step).items() if key.startswith("work/")]
    assert len(work) == 7 and not any(work)  # zeros, so that a plot over time has no holes


def test_the_checks_pass_on_good_stores_and_warn_of_failed_documents(
    project: Project, instance: dg.DagsterInstance
) -> None:
    write_documents(project.root, ["c/a.txt", "c/b.txt"])
    assert {name: check.passed for name, check in checks(run(instance)).items()} == {
        "documents_parsed": True,
        "pictures_described_by_model": True,
        "text_coverage": True,
        "vectors_match_chunks": True,
        "graph_matches_evidence": True,
        "chunks_read": True,
    }
    (project.root / "c" / "bad.pdf").write_bytes(b"")
    result = run(instance)
    failed = checks(result)["documents_parsed"]
    assert result.success and not failed.passed and failed.severity is dg.AssetCheckSeverity.WARN


def test_a_damaged_store_fails_its_check_and_force_repairs_it(project: Project, instance: dg.DagsterInstance) -> None:
    write_documents(project.root, ["c/a.txt", "c/b.txt"])
    run(instance)
    (document, *_) = project.documents.all()
    project.vectors.delete_documents([document.id])
    project.evidence.delete_documents([document.id])
    damaged = checks(run(instance))
    for name in ("vectors_match_chunks", "graph_matches_evidence"):
        assert not damaged[name].passed and damaged[name].severity is dg.AssetCheckSeverity.ERROR
        assert document.id in str(damaged[name].metadata["documents"].value)
    assert all(check.passed for check in checks(run(instance, force_from="chunk")).values())


def test_a_broken_service_is_retried_and_a_missing_root_is_not(project: Project, instance: dg.DagsterInstance) -> None:
    write_documents(project.root, ["c/a.txt"])
    project.settings.artifacts_dir.mkdir(parents=True)
    blocked = project.settings.artifacts_dir / "chunk"
    blocked.write_text("a file where a folder should be")
    result = run(instance)
    assert not result.success
    assert len([event for event in result.all_events if event.is_step_restarted]) == 3
    blocked.unlink()
    assert run(instance).success
    project.root.rename(project.root.with_name("unmounted"))
    gone = run(instance)
    assert not gone.success
    assert not [event for event in gone.all_events if event.is_step_up_for_retry]
    assert "nothing was deleted" in str([event.step_failure_data for event in gone.all_events if event.is_step_failure])
    assert len(project.documents.all()) == 1


def test_the_scan_makes_partitions_and_parses_nothing(project: Project, instance: dg.DagsterInstance) -> None:
    write_documents(project.root, ["c/a.txt", "d/b.txt"])
    assert run(instance, job="scan_root", partition=None).success
    assert set(instance.get_dynamic_partitions(str(collections.name))) == {"c", "d"}
    assert recorded(project)
    assert not (project.settings.artifacts_dir / "parse").exists()


def test_the_project_of_a_run_can_be_another_home(project: Project, tmp_path: Path) -> None:
    assert ProjectResource(home=str(tmp_path / "other")).open().settings.home == tmp_path / "other"
    assert ProjectResource().open().settings.home == project.settings.home
