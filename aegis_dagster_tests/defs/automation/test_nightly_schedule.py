"""The schedule `nightly_catch_up`: who gets a run, and what happens between its runs."""

import shutil
from datetime import UTC, datetime, timedelta

import dagster as dg

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.automation.nightly_schedule import MOST_RUNS, NAME, Night, plan_night
from aegis_dagster.defs.automation.watched_folder_sensor import WHY_TAG
from aegis_dagster.stages.sync import update_listing
from aegis_dagster_tests.support.dagster_daemon import Daemon
from aegis_dagster_tests.support.dagster_runs import run
from aegis_dagster_tests.support.projects import write_documents

NIGHT = datetime(2026, 11, 25, 2, tzinfo=UTC)


def requests(daemon: Daemon, nights: int = 0) -> list[dg.RunRequest]:
    """What is asked for so many nights later."""
    return list(daemon.schedule(NAME, NIGHT + timedelta(days=nights)))


def names(asked: list[dg.RunRequest]) -> list[str]:
    return [str(request.partition_key) for request in asked]


def lists(request: dg.RunRequest) -> bool:
    """Whether the run lists the root and removes traces."""
    return bool(request.run_config["resources"]["ingest_options"]["config"]["scan_root"])


def plan(daemon: Daemon, project: Project, *, read_seconds: float = 8, most: int = MOST_RUNS) -> Night:
    return plan_night(daemon.instance, project, print, read_seconds=read_seconds, most=most)


def ingested_and_deleted(project: Project, name: str) -> None:
    """What `aegis ingest FILE` leaves, which makes no partition, once the file is deleted."""
    write_documents(project.root, [name], paragraphs=1)
    update_listing(project.source, project.documents, project.guard(), name)
    (project.root / name).unlink()


def test_deleted_documents_whose_collection_has_no_partition_stop_no_night(project: Project, daemon: Daemon) -> None:
    write_documents(project.root, ["c/a.txt"], paragraphs=1)
    ingested_and_deleted(project, "lone/a.txt")
    (request,) = requests(daemon)
    assert (request.partition_key, lists(request)) == ("c", True)
    assert daemon.run(request, "ingest").success
    assert (project.documents.deleted(), daemon.partitions()) == ([], {"c"})

    ingested_and_deleted(project, "lone/b.txt")  # and nothing else is to be done
    (request,) = requests(daemon, 1)
    assert (request.partition_key, lists(request)) == ("lone", True)
    assert request.tags[WHY_TAG] == "traces of 1 deleted documents"
    assert daemon.run(request, "ingest").success  # Dagster fails a run whose partition is gone
    assert (project.documents.deleted(), daemon.partitions()) == ([], {"c", "lone"})
    assert requests(daemon, 2) == [] and "up to date" in daemon.said
    assert daemon.partitions() == {"c"}


def test_a_lost_vector_store_is_filled_again_in_whichever_order_the_runs_come(project: Project, daemon: Daemon) -> None:
    write_documents(project.root, ["a/a.txt", "b/b.txt"], paragraphs=1)
    assert daemon.tick() == ["a", "b"]
    before = project.vectors.counts_by_document()
    shutil.rmtree(project.settings.vectors_dir)
    daemon.instance.create_run_for_job(  # it may be past embedding
        daemon.definitions().resolve_job_def("ingest"), tags={"dagster/partition": "a"}
    )
    asked = requests(daemon)
    assert names(asked) == ["a", "b"] and not any(map(lists, asked))
    assert all(daemon.run(request, "ingest").success for request in reversed(asked))
    assert project.vectors.counts_by_document() == before != {}


def test_what_is_at_work_is_not_asked_for_again(project: Project, daemon: Daemon) -> None:
    write_documents(project.root, ["c/a.txt", "d/a.txt"], paragraphs=1)
    assert names(requests(daemon)) == ["c", "d"]
    ingest = daemon.definitions().resolve_job_def("ingest")
    daemon.instance.create_run_for_job(ingest, tags={"dagster/partition": "c"})
    assert names(requests(daemon, 1)) == ["d"]
    daemon.instance.create_run_for_job(ingest, tags={"dagster/partition": "d"}, status=dg.DagsterRunStatus.STARTING)
    assert requests(daemon, 2) == [] and daemon.said == "A run is at work on: c, d."


def test_traces_are_left_to_whoever_removes_them_already(project: Project, daemon: Daemon) -> None:
    write_documents(project.root, ["c/a.txt"], paragraphs=1)
    assert daemon.tick() == ["c"]
    ingested_and_deleted(project, "lone/a.txt")
    job = daemon.definitions().resolve_job_def("clean_up")
    queued = daemon.instance.create_run_for_job(job)
    assert requests(daemon) == [] and daemon.partitions() == {"c"}
    daemon.instance.report_run_canceled(queued)
    assert names(requests(daemon, 1)) == ["lone"]


def test_a_night_has_only_so_many_runs(project: Project, daemon: Daemon) -> None:
    for number in range(MOST_RUNS + 2):
        write_documents(project.root, [f"{number:03}/a.txt"], paragraphs=0)
    write_documents(project.root, ["z/a.txt", "z/b.txt"], paragraphs=0)
    asked = names(requests(daemon))
    assert len(asked) == MOST_RUNS and asked[0] == "z"  # the most documents
    left = sorted(daemon.partitions() - set(asked))
    assert len(left) == 3 and f"Requested by the next tick: {', '.join(left)}." in plan(daemon, project).told


def test_who_got_no_run_for_the_longest_time_comes_first(project: Project, daemon: Daemon) -> None:
    write_documents(project.root, ["a/a.txt", "b/a.txt", "c/a.txt", "c/b.txt"], paragraphs=1)
    assert list(plan(daemon, project, most=2).why) == ["c", "a"]
    ingest = daemon.definitions().resolve_job_def("ingest")
    for name in ("c", "a"):  # as the daemon makes them; they could not do their work
        tags = {"dagster/partition": name, "dagster/schedule_name": NAME}
        daemon.instance.create_run_for_job(ingest, tags=tags, status=dg.DagsterRunStatus.FAILURE)
    assert list(plan(daemon, project, most=2).why) == ["b", "c"]


def test_files_that_time_did_not_suffice_for_are_read_by_the_first_run(project: Project, daemon: Daemon) -> None:
    write_documents(project.root, ["c/a.txt"], paragraphs=1)
    night = plan(daemon, project)
    assert (dict(night.why), night.lists) == ({"c": "1 documents"}, False)
    write_documents(project.root, ["d/a.txt"], paragraphs=1)
    night = plan(daemon, project, read_seconds=0)
    assert (dict(night.why), night.lists) == ({"c": "1 documents"}, True)


def test_what_lists_the_root_by_itself_removes_partitions_of_emptied_collections(
    project: Project, daemon: Daemon
) -> None:
    write_documents(project.root, ["c/a.txt", "d/a.txt", "e/a.txt"], paragraphs=1)
    assert run(daemon.instance, "scan_root", None).success and daemon.partitions() == {"c", "d", "e"}
    queued = daemon.instance.create_run_for_job(
        daemon.definitions().resolve_job_def("ingest"), tags={"dagster/partition": "e"}
    )
    for name in ("d", "e"):
        (project.root / name / "a.txt").unlink()
    assert run(daemon.instance, partition="c", scan_root=True, documents=["c/a.txt"], only=["parsed_documents"]).success
    assert daemon.partitions() == {"c", "e"}  # the run for e would fail without it
    daemon.instance.report_run_canceled(queued)
    assert run(daemon.instance, "scan_root", None).success and daemon.partitions() == {"c"}
