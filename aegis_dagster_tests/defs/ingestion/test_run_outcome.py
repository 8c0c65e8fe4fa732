"""What a run says of itself."""

import logging

import dagster as dg

from aegis_dagster.composition.project import Project
from aegis_dagster.errors import FailureCode
from aegis_dagster_tests.support.dagster_runs import checks, logged, metadata, run, tags_of
from aegis_dagster_tests.support.projects import write_documents


def test_a_run_says_how_many_documents_failed_and_why_where_operators_look(
    project: Project, instance: dg.DagsterInstance
) -> None:
    write_documents(project.root, ["c/a.txt"])
    result = run(instance)
    assert tags_of(instance, result)["aegis/outcome"] == "succeeded"
    assert tags_of(instance, result)["aegis/collection"] == "c"
    for number in range(12):
        (project.root / "c" / f"bad{number:02}.pdf").write_bytes(b"")
    result = run(instance, documents=["a.txt", "bad00.pdf"])
    assert tags_of(instance, result)["aegis/outcome"] == "succeeded with 1 failed document"
    (line,) = logged(instance, result, logging.WARNING)
    assert line.startswith("c/bad00.pdf: empty_file: ") and "Remedy: " in line
    evaluation = checks(result)["documents_parsed"]
    assert not evaluation.passed and "c/bad00.pdf" in str(evaluation.metadata["failures"].value)
    told = str(evaluation.description)
    assert told.startswith("1 of 13 documents could not be parsed. c/bad00.pdf: ") and "Remedy: " in told
    result = run(instance)
    assert str(checks(result)["documents_parsed"].description).endswith("; 9 more in `failures`")
    assert tags_of(instance, result)["aegis/outcome"] == "succeeded with 12 failed documents"
    assert len(logged(instance, result, logging.WARNING)) == 10 + 1  # the others are in the table of the asset
    assert str(metadata(result, "parsed_documents")["failures"]).count(FailureCode.EMPTY_FILE) == 12


def test_only_the_last_asset_of_a_run_says_succeeded(project: Project, instance: dg.DagsterInstance) -> None:
    write_documents(project.root, ["c/a.txt"])
    (project.root / "c" / "bad.pdf").write_bytes(b"")
    some = run(instance, only=["parsed_documents", "enriched_images"])
    assert tags_of(instance, some)["aegis/outcome"] == "succeeded with 1 failed document"
    blocked = project.settings.artifacts_dir / "chunk"
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("a file where a folder should be")
    stopped = run(instance)
    assert not stopped.success
    assert tags_of(instance, stopped)["aegis/outcome"].startswith("stopped at chunk: ")
    blocked.unlink()
    assert tags_of(instance, run(instance))["aegis/outcome"] == "succeeded with 1 failed document"


def test_a_stage_that_ends_later_does_not_hide_where_the_run_stopped(
    project: Project, instance: dg.DagsterInstance
) -> None:
    write_documents(project.root, ["c/a.txt"])
    (project.root / "c" / "bad.pdf").write_bytes(b"")
    project.settings.vectors_dir.parent.mkdir(parents=True, exist_ok=True)
    project.settings.vectors_dir.write_text("a file where a folder should be")
    stopped = run(instance)  # the graph is made all the same
    assert not stopped.success and metadata(stopped, "knowledge_graph")["documents_done"] == 1
    assert tags_of(instance, stopped)["aegis/outcome"].startswith("stopped at embed: ")
