"""The sensor `watched_folder` over real folders and a real bucket, with the runs that it asks for."""

import os
import subprocess
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.definitions import build_definitions
from aegis_dagster.defs.alerting.events import batches_after
from aegis_dagster.defs.automation.nightly_schedule import plan_night
from aegis_dagster.defs.automation.watched_folder_sensor import (
    WORK_TAG,
    Rest,
    at_work,
    list_root,
    look,
    run_request,
    unasked,
)
from aegis_dagster.defs.ingestion.root_checks import DELETIONS_HELD, ROOT_READABLE
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.run_requests import Plan
from aegis_dagster.errors import RootUnreadable
from aegis_dagster.settings import load_settings
from aegis_dagster_tests.support.bulk_rows import end_all_stages
from aegis_dagster_tests.support.counting import database_work
from aegis_dagster_tests.support.dagster_daemon import Daemon, LaterClock, found
from aegis_dagster_tests.support.dagster_instance import quick_instance
from aegis_dagster_tests.support.projects import write_documents
from aegis_dagster_tests.support.servers.programs import free_port
from aegis_dagster_tests.support.servers.s3 import S3Server


def change_everything(daemon: Daemon, filesystem: Any, prefix: str) -> None:
    """New, edited, renamed, deleted: each is found, or not any more, after one look and its runs."""

    def write(name: str, text: str) -> None:
        filesystem.makedirs(f"{prefix}/{name}".rpartition("/")[0], exist_ok=True)
        filesystem.pipe_file(f"{prefix}/{name}", text.encode())

    write("c/one.txt", "The axolotl of the harbour was counted twice.")
    write("c/two.txt", "The bagpipe of the lighthouse was repaired.")
    write("d/three.txt", "The chandelier of the ferry was cleaned.")
    assert daemon.tick() == ["c", "d"]
    assert daemon.partitions() == {"c", "d"}
    assert all(result.success for result in daemon.results)
    assert (found("axolotl"), found("bagpipe"), found("chandelier")) == (["c/one.txt"], ["c/two.txt"], ["d/three.txt"])
    assert daemon.tick() == [] and "Nothing changed, 3 unchanged." in daemon.said

    write("c/one.txt", "The dromedary of the harbour was counted twice.")
    filesystem.mv(f"{prefix}/c/two.txt", f"{prefix}/c/renamed.txt")
    assert daemon.tick() == ["clean_up", "c"]
    (parsed,) = [
        event for event in daemon.results[1].get_asset_materialization_events() if "parsed" in str(event.asset_key)
    ]
    assert parsed.materialization.metadata["work/parsed"].value == 1  # what was renamed is not parsed again
    assert (found("axolotl"), found("dromedary"), found("bagpipe")) == ([], ["c/one.txt"], ["c/renamed.txt"])

    filesystem.rm_file(f"{prefix}/d/three.txt")
    assert daemon.tick() == ["clean_up"]
    assert found("chandelier") == []
    assert daemon.partitions() == {"c"}
    assert daemon.tick() == []


def test_every_change_of_a_folder_is_found_after_one_look(project: Project, daemon: Daemon) -> None:
    from fsspec.implementations.local import LocalFileSystem

    change_everything(daemon, LocalFileSystem(), str(project.root))
    assert sorted(document.id for document in project.documents.all()) == ["c/one.txt", "c/renamed.txt"]


def test_every_change_of_a_bucket_is_found_and_a_server_that_is_down_deletes_nothing(
    s3_server: S3Server, project: Project, daemon: Daemon, tmp_path: Path
) -> None:
    import fsspec
    import yaml

    server = S3Server(free_port())
    server.start()
    try:
        bucket = f"aegis-{uuid.uuid4().hex[:12]}"
        filesystem = fsspec.filesystem("s3", **server.options)
        filesystem.mkdir(bucket)
        settings = {"root": f"s3://{bucket}/documents", "root_options": server.options}
        (tmp_path / "aegis.yaml").write_text(yaml.safe_dump(settings))
        with pytest.MonkeyPatch.context() as environment:
            environment.delenv("AEGIS_ROOT")
            change_everything(daemon, filesystem, f"{bucket}/documents")
            assert not list((project.settings.home / "downloads").glob("*"))
            assert daemon.check(ROOT_READABLE) is True
            server.stop()
            with pytest.raises(RootUnreadable, match="nothing was deleted"):
                daemon.tick()
            assert daemon.check(ROOT_READABLE) is False
            assert len(project.documents.all()) == 2 and found("dromedary") == ["c/one.txt"]
            server.start()  # it answers again, and its buckets are gone
            with pytest.raises(RootUnreadable):
                daemon.tick()
            filesystem.mkdir(bucket)  # the bucket is there again, and empty
            assert daemon.tick() == [] and "is empty" in daemon.said
            assert daemon.check(ROOT_READABLE) is True and daemon.check(DELETIONS_HELD) is False
            assert len(project.documents.all()) == 2
    finally:
        server.stop()


def test_a_root_that_is_gone_fails_the_look_and_a_check_once_and_comes_back(project: Project, daemon: Daemon) -> None:
    write_documents(project.root, ["c/a.txt"], paragraphs=1)
    assert daemon.tick() == ["c"]
    away = project.root.with_name("unmounted")
    project.root.rename(away)
    for _ in range(2):
        with pytest.raises(RootUnreadable, match="nothing was deleted"):
            daemon.tick()
    assert (daemon.check(ROOT_READABLE), daemon.evaluations(ROOT_READABLE)) == (False, 2)  # it passed once before
    events = [event for batch in batches_after(daemon.instance, 0) for event in batch.events]
    told = [event for event in events if event.key.check == ROOT_READABLE]  # what the pager sees
    assert [event.severity is None for event in told] == [True, False]
    project.root.mkdir()  # the mount point without its share
    assert daemon.tick() == [] and "--confirm-deletions" in daemon.said
    assert (daemon.check(ROOT_READABLE), daemon.check(DELETIONS_HELD)) == (True, False)
    assert len(project.documents.all()) == 1 and daemon.partitions() == {"c"}
    project.root.rmdir()
    away.rename(project.root)
    assert daemon.tick() == []
    assert (daemon.check(DELETIONS_HELD), daemon.evaluations(DELETIONS_HELD)) == (True, 3)
    assert len(project.documents.all()) == 1


def test_a_look_repeated_or_a_daemon_started_anew_asks_for_nothing_twice(project: Project, daemon: Daemon) -> None:
    write_documents(project.root, ["c/a.txt"], paragraphs=1)
    first, again = daemon.requests(), Daemon(daemon.instance).requests()  # killed before it started the run
    assert [one.run_key for one in first] == [one.run_key for one in again] != []
    assert daemon.run(first[0]).success
    assert Daemon(daemon.instance).requests() == []
    assert daemon.requests() == []
    before = (project.root / "c" / "a.txt").read_bytes()
    (project.root / "c" / "a.txt").write_bytes(b"Other bytes.")
    assert daemon.tick() == ["c"]
    (project.root / "c" / "a.txt").write_bytes(before)  # the bytes of the first run
    assert daemon.tick() == ["c"]
    assert daemon.tick() == []


def test_a_run_that_is_queued_is_not_asked_for_again_unless_more_has_changed(project: Project, daemon: Daemon) -> None:
    write_documents(project.root, ["c/a.txt"], paragraphs=1)
    (request,) = daemon.requests()
    job = daemon.definitions().resolve_job_def("ingest")
    tags = {**request.tags, "dagster/partition": "c"}
    daemon.instance.create_run_for_job(job, tags=tags)
    for each in (daemon, Daemon(daemon.instance)):
        assert each.requests() == [] and "A run is at work on: c." in each.said
    write_documents(project.root, ["c/b.txt"], paragraphs=1)
    (more,) = daemon.requests()
    assert more.partition_key == "c" and more.tags[WORK_TAG] != request.tags[WORK_TAG]


def test_what_somebody_materializes_in_the_ui_gets_no_second_run_beside_it(project: Project, daemon: Daemon) -> None:
    write_documents(project.root, ["c/a.txt", "d/a.txt"], paragraphs=1)
    assert [request.partition_key for request in daemon.requests()] == ["c", "d"]
    job = daemon.definitions().resolve_implicit_global_asset_job_def()

    def materialize(collection: str, asset: str) -> str:
        chosen, tags = {dg.AssetKey(asset)}, {"dagster/partition": collection}
        return daemon.instance.create_run_for_job(job, tags=tags, asset_selection=chosen).run_id

    run_id = materialize("c", "chunks")
    materialize("d", "llm_costs")  # has nothing to do with documents
    assert list(at_work(daemon.instance)) == ["c"]
    assert [request.partition_key for request in daemon.requests()] == ["d"]
    run = daemon.instance.get_run_by_id(run_id)
    assert run is not None
    daemon.instance.report_run_canceled(run)
    assert [request.partition_key for request in daemon.requests()] == ["c", "d"]


def test_a_run_whose_process_is_gone_is_marked_as_failed_and_one_that_lives_is_left_alone(
    project: Project, daemon: Daemon
) -> None:
    write_documents(project.root, ["c/a.txt", "d/a.txt"], paragraphs=1)
    job = daemon.definitions().resolve_job_def("ingest")
    ended = subprocess.Popen(["true"])
    ended.wait()
    runs = []
    for pid, request in zip((os.getpid(), ended.pid), daemon.requests(), strict=True):
        tags = {**request.tags, "dagster/partition": str(request.partition_key)}
        run = daemon.instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
        daemon.instance.report_engine_event(f"Started process for run (pid: {pid}).", run)
        runs.append(run.run_id)
    assert daemon.requests() == [] and "A run is at work on: c." in daemon.said and "later: d." in daemon.said
    statuses = [found.status.value for found in map(daemon.instance.get_run_by_id, runs) if found is not None]
    assert statuses == ["STARTED", "FAILURE"]


def test_a_run_that_failed_is_tried_again_later_and_later(project: Project, daemon: Daemon) -> None:
    write_documents(project.root, ["c/a.txt"], paragraphs=1)
    project.settings.artifacts_dir.mkdir(parents=True)
    blocked = project.settings.artifacts_dir / "parse"
    blocked.write_text("a file where a folder should be")
    assert daemon.tick() == ["c"]
    assert not daemon.results[0].success
    assert daemon.tick() == [] and "tried again later: c." in daemon.said
    blocked.unlink()
    later = Project(load_settings(), LaterClock(minutes=6))
    plan, _, _ = look(daemon.instance, later, print, Rest(), read_seconds=20)
    (request,) = [run_request(each, unasked(project)) for each in plan.requests]
    (failed,) = daemon.instance.get_run_records()
    assert str(request.run_key).endswith(f"-1-{int((failed.end_time or 0) * 1000)}")
    assert daemon.run(request).success
    assert daemon.tick() == []


def test_failed_runs_are_tried_again_also_when_somebody_deleted_one_of_them(project: Project, daemon: Daemon) -> None:
    write_documents(project.root, ["c/a.txt"], paragraphs=1)
    job, runs = daemon.definitions().resolve_job_def("ingest"), list[dg.DagsterRun]()

    def request(hours: float) -> dg.RunRequest:
        later = Project(load_settings(), LaterClock(hours=hours))
        plan, _, _ = look(daemon.instance, later, print, Rest(), read_seconds=20)
        (found,) = [run_request(each, unasked(project)) for each in plan.requests]
        return found

    for number in range(2):
        asked = request(7 * number)
        assert asked.run_key == request(7 * number).run_key  # a look repeated
        tags = {**asked.tags, "dagster/partition": "c", "dagster/run_key": str(asked.run_key)}
        runs.append(daemon.instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED))
        daemon.instance.report_run_failed(runs[-1])
    daemon.instance.delete_run(runs[0].run_id)
    asked = request(14)
    assert asked.run_key not in {run.tags["dagster/run_key"] for run in runs}  # or Dagster takes it for a run it knows


def test_documents_that_failed_for_good_ask_for_no_run(project: Project, daemon: Daemon) -> None:
    write_documents(project.root, ["c/a.txt"], paragraphs=1)
    (project.root / "c" / "bad.pdf").write_bytes(b"")
    assert daemon.tick() == ["c"]
    assert daemon.results[0].success
    assert [item.document_id for item in project.reports.failures()] == ["c/bad.pdf"]
    assert daemon.tick() == Daemon(daemon.instance).tick() == []


def test_files_that_grow_or_that_time_did_not_suffice_for_wait_and_are_counted(
    project: Project, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_documents(project.root, ["c/a.txt", "c/b.txt"], paragraphs=1)
    plan, _, said = look(daemon.instance, project, print, Rest(), read_seconds=0)
    assert plan.requests == () and "2 to be read by the next look" in said
    plan, _, said = look(daemon.instance, project, print, Rest(), read_seconds=20)
    assert [request.collection for request in plan.requests] == ["c"] and said.startswith("2 new")
    (project.root / "c" / "a.txt").rename(project.root / "c" / "moved.txt")
    _, _, said = look(daemon.instance, project, print, Rest(), read_seconds=0)
    assert "deleted" not in said  # the unread file may be the one that is gone
    assert project.documents.get([DocumentId("c/a.txt")])
    lines: list[str] = []
    look(daemon.instance, project, lines.append, Rest(), read_seconds=20)
    assert lines == ["moved: c/a.txt is now c/moved.txt"]


def test_no_name_of_a_file_is_a_link_in_the_log_of_a_look(project: Project, daemon: Daemon) -> None:
    write_documents(project.root, ["c/a.txt"])
    list_root(daemon.instance, project, print, read_seconds=20)
    (project.root / "c" / "a.txt").rename(project.root / "c" / "www.evil.example.txt")
    lines: list[str] = []
    list_root(daemon.instance, project, lines.append, read_seconds=20)
    assert lines == ["moved: c/a.txt is now c/www\u200b.evil.example.txt"]


def test_deletions_that_are_held_stay_so_while_new_files_are_unread(project: Project, daemon: Daemon) -> None:
    """Nobody is told that all is well, and then that it is not."""
    write_documents(project.root, [f"c/{number}.txt" for number in range(20)], paragraphs=1)

    def at(read_seconds: float) -> tuple[bool | None, int]:
        list_root(daemon.instance, project, print, read_seconds=read_seconds)
        return daemon.check(DELETIONS_HELD), daemon.evaluations(DELETIONS_HELD)

    def by_hand() -> tuple[bool, str]:
        selection = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("parsed_documents"), DELETIONS_HELD))
        job = dg.define_asset_job("look_at_root", selection=selection)
        definitions = dg.Definitions.merge(daemon.definitions(), dg.Definitions(jobs=[job]))
        result = definitions.resolve_job_def("look_at_root").execute_in_process(instance=daemon.instance)
        (check,) = result.get_asset_check_evaluations()
        return check.passed, str(check.description)

    assert at(20) == (True, 1)
    for number in range(13):
        (project.root / "c" / f"{number}.txt").unlink()
    assert at(20) == (False, 2)
    write_documents(project.root, ["c/new 1.txt"], paragraphs=1)
    assert at(0) == (False, 2)  # 12 are gone even if the new one is the thirteenth
    passed, said = by_hand()
    assert not passed and "At least 12 documents are gone" in said
    write_documents(project.root, ["c/new 2.txt", "c/new 3.txt", "c/new 4.txt"], paragraphs=1)
    assert at(0) == (False, 3)  # perhaps 9 are gone, which would not be held
    passed, said = by_hand()
    assert not passed and "Nobody can tell now" in said
    assert at(20) == (False, 4)
    assert len(project.documents.all()) == 24
    away = project.root.with_name("unmounted")
    project.root.rename(away)
    assert by_hand()[0] is False


def test_ten_collections_at_most_are_asked_for_at_once(project: Project, daemon: Daemon) -> None:
    write_documents(project.root, [f"{number:02}/a.txt" for number in range(12)], paragraphs=1)
    first = daemon.requests()
    assert [request.partition_key for request in first] == [f"{number:02}" for number in range(10)]
    assert len(daemon.partitions()) == 12
    job = daemon.definitions().resolve_job_def("ingest")
    for request in first:
        tags = {**request.tags, "dagster/partition": str(request.partition_key)}
        daemon.instance.create_run_for_job(job, tags=tags)
    assert [request.partition_key for request in daemon.requests()] == ["10", "11"]


def test_a_lost_vector_store_is_published_again(project: Project, daemon: Daemon) -> None:
    import shutil

    write_documents(project.root, ["c/a.txt"], paragraphs=1)
    daemon.tick()
    shutil.rmtree(project.settings.vectors_dir)
    assert Daemon(daemon.instance).tick() == ["clean_up"]
    later = Project(load_settings(), LaterClock(minutes=6))  # a run for just these documents ended a moment ago
    plan, _, _ = look(daemon.instance, later, print, Rest(), read_seconds=20)
    assert [daemon.run(run_request(request, unasked(project))).success for request in plan.requests] == [True]
    assert set(project.vectors.counts_by_document()) == {"c/a.txt"}


def test_the_checks_of_the_root_can_be_run_by_hand(project: Project, daemon: Daemon) -> None:
    write_documents(project.root, ["c/a.txt"], paragraphs=1)
    daemon.requests()
    (project.root / "c" / "a.txt").unlink()
    selection = dg.AssetSelection.checks(
        *[dg.AssetCheckKey(dg.AssetKey("parsed_documents"), name) for name in (ROOT_READABLE, DELETIONS_HELD)]
    )
    job = dg.define_asset_job("look_at_root", selection=selection)
    definitions = dg.Definitions.merge(daemon.definitions(), dg.Definitions(jobs=[job]))
    result = definitions.resolve_job_def("look_at_root").execute_in_process(instance=daemon.instance)
    passed = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert passed == {ROOT_READABLE: True, DELETIONS_HELD: False}
    assert len(project.documents.all()) == 1


def test_the_sensor_is_off_unless_the_settings_say_on(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    off = build_definitions().get_repository_def().get_sensor_def("watched_folder")
    monkeypatch.setenv("AEGIS_SCHEDULES__WATCHED_FOLDER__ENABLED", "true")
    monkeypatch.setenv("AEGIS_SCHEDULES__WATCHED_FOLDER__SECONDS", "7")
    on = build_definitions().get_repository_def().get_sensor_def("watched_folder")
    assert (off.default_status, off.minimum_interval_seconds) == (dg.DefaultSensorStatus.STOPPED, 3)
    assert (on.default_status, on.minimum_interval_seconds) == (dg.DefaultSensorStatus.RUNNING, 7)


def statements_of_looks(folder: Path, patch: pytest.MonkeyPatch, files: int) -> dict[str, int]:
    """What looks at 40 collections of so many files each ask of the databases, by what was found."""
    for number in range(40):
        write_documents(folder / "root", [f"{number:03}/{file:03}.txt" for file in range(files)], paragraphs=0)
    patch.setenv("AEGIS_HOME", str(folder / "home"))
    patch.setenv("AEGIS_ROOT", str(folder / "root"))
    patch.delenv("AEGIS_CHUNK__MAX_TOKENS", raising=False)
    project, asked = Project(load_settings()), dict[str, int]()
    with quick_instance(folder) as instance:

        def looked(found: str, rest: Rest) -> tuple[Plan, Rest]:
            with database_work() as work:
                plan, rest, _ = look(instance, Project(load_settings()), print, rest, read_seconds=600)
            asked[found] = len(work.statements)
            assert work.steps < 500 * 40 * files + 10_000  # every row a few times
            return plan, rest

        assert len(looked("all is new", Rest())[0].requests) == 10
        end_all_stages(project)
        with database_work() as work:
            assert not plan_night(instance, project, print, read_seconds=600).why
        asked["a night without work"] = len(work.statements)
        full, rest = looked("all was done", Rest())
        assert (full.requests, full.at_work) == ((), ())
        looked("nothing changed", rest)
        (project.root / "007" / "003.txt").write_text("Something at last.")
        assert [request.why for request in looked("one file", rest)[0].requests] == ["007/003.txt"]
        patch.setenv("AEGIS_CHUNK__MAX_TOKENS", "200")  # every document has work again
        plan, _ = looked("other settings", rest)
        assert (len(plan.requests), len(plan.later)) == (10, 30)
    return asked


def test_a_look_asks_the_databases_as_often_whatever_the_number_of_files(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = statements_of_looks(tmp_path / "few", monkeypatch, 5)
    more = Counter(statements_of_looks(tmp_path / "many", monkeypatch, 25)) - Counter(few)
    assert more == {"all is new": 1, "other settings": 1}  # documents with work are read 500 at a time
    assert few["nothing changed"] < few["all was done"]  # the states are not read again
    assert max(few[found] for found in few if found != "all is new") < 50
