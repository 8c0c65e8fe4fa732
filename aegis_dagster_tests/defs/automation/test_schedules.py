"""The schedules, with the runs that they ask for."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
import yaml

from aegis_dagster.composition.project import Project
from aegis_dagster.definitions import build_definitions
from aegis_dagster.defs.automation.reembedding_schedule import FORECAST_TAG
from aegis_dagster.defs.automation.watched_folder_sensor import WHY_TAG, unasked
from aegis_dagster.defs.costs.monthly_report import month_before, report_page
from aegis_dagster.defs.ingestion.config import IngestOptions
from aegis_dagster.defs.resources import settings_or_defaults
from aegis_dagster.domain.llm import TaskType
from aegis_dagster.domain.money import month_of
from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.settings import load_settings
from aegis_dagster.settings.schedules import ScheduleSettings
from aegis_dagster_tests.support.dagster_daemon import Daemon, found
from aegis_dagster_tests.support.ledger_of_project import pay
from aegis_dagster_tests.support.llm_server import LLMServer, scripted_server
from aegis_dagster_tests.support.projects import bring_up, write_documents
from aegis_dagster_tests.support.projects_with_models import EMBEDDING, llm_settings

NIGHT = datetime(2026, 11, 25, 2, tzinfo=UTC)


def run_all(daemon: Daemon, requests: list[dg.RunRequest], job: str) -> list[str]:
    """Run what a schedule asks for. Returns the collections."""
    assert all(daemon.run(request, job).success for request in requests)
    return [str(request.partition_key) for request in requests]


def test_the_nightly_run_brings_everything_up_to_date_and_removes_what_is_deleted(
    project: Project, daemon: Daemon
) -> None:
    write_documents(project.root, ["c/a.txt", "c/b.txt", "d/a.txt"], paragraphs=1)
    (project.root / "c" / "bad.pdf").write_bytes(b"")
    assert run_all(daemon, list(daemon.schedule("nightly_catch_up", NIGHT)), "ingest") == ["c", "d"]
    assert set(project.vectors.counts_by_document()) == {"c/a.txt", "c/b.txt", "d/a.txt"}
    assert daemon.schedule("nightly_catch_up", NIGHT) == [] and "failed for good" in daemon.said
    (project.root / "d" / "a.txt").unlink()
    assert run_all(daemon, list(daemon.schedule("nightly_catch_up", NIGHT + timedelta(days=1))), "ingest") == ["d"]
    assert set(project.vectors.counts_by_document()) == {"c/a.txt", "c/b.txt"}
    assert project.documents.deleted() == []
    (lost,) = project.documents.get([project.documents.all()[0].id])
    wanted = project.states.one(lost).wanted
    project.artifacts.delete(Stage.CHUNK, wanted[Stage.CHUNK])  # only looking finds that
    assert [request.partition_key for request in daemon.schedule("nightly_catch_up", NIGHT)] == ["c"]


def test_changed_settings_make_the_schedule_embed_anew_once(
    project: Project, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_documents(project.root, ["c/a.txt", "d/a.txt"], paragraphs=6)
    (project.root / "c" / "bad.pdf").write_bytes(b"")  # never embedded, and only its chunks are asked for anew
    assert daemon.tick() == ["c", "d"]
    assert daemon.schedule("reembedding", NIGHT) == [] and "All vectors are those" in daemon.said
    before = project.vectors.counts_by_document()
    monkeypatch.setenv("AEGIS_CHUNK__MAX_TOKENS", "32")
    write_documents(project.root, ["e/new.txt"], paragraphs=1)  # never embedded: that is not this schedule's
    requests = list(daemon.schedule("reembedding", NIGHT))
    assert [request.tags[FORECAST_TAG] for request in requests] == ["no model is asked, 0 USD for all collections"] * 2
    assert [request.tags[WHY_TAG] for request in requests] == ["1 of 2 documents to embed anew"] * 2
    assert run_all(daemon, requests, "ingest_parallel") == ["c", "d"]
    after = project.vectors.counts_by_document()
    assert set(after) == set(before) and all(after[name] > before[name] for name in before)
    assert found("tide gauge")
    assert daemon.schedule("reembedding", NIGHT + timedelta(days=7)) == []


def queue(daemon: Daemon, collection: str, run_config: dict[str, object]) -> dg.DagsterRun:
    """A run of `ingest` that is queued."""
    job = daemon.definitions().resolve_job_def("ingest")
    return daemon.instance.create_run_for_job(job, run_config=run_config, tags={"dagster/partition": collection})


def test_only_collections_without_a_run_are_embedded_anew_and_partitions_are_made_for_them(
    project: Project, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_documents(project.root, ["c/a.txt", "d/a.txt"], paragraphs=1)
    asyncio.run(bring_up(project))  # as `aegis ingest FILE` does: Dagster hears nothing of it
    assert daemon.partitions() == set()
    monkeypatch.setenv("AEGIS_CHUNK__MAX_TOKENS", "32")
    queue(daemon, "c", IngestOptions().run_config())
    assert [request.partition_key for request in daemon.schedule("reembedding", NIGHT)] == ["d"]
    queue(daemon, "d", unasked(project))  # free: every run embeds anew
    assert daemon.schedule("reembedding", NIGHT) == [] and "A run is at work on: c, d." in daemon.said


@pytest.fixture(scope="module")
def server() -> Iterator[LLMServer]:
    with scripted_server() as running:
        yield running


def test_embedding_anew_is_refused_when_the_money_does_not_suffice(
    project: Project, daemon: Daemon, server: LLMServer, tmp_path: Path
) -> None:
    def configure(limit_usd: str) -> None:
        llm = llm_settings(server, limit_usd=limit_usd)
        settings = {
            "llm": llm,
            "embed": {"model": f"openai/{EMBEDDING}"},
            "enrich": {"describer": "ocr"},
            "graph": {"extractor": "statistical"},
        }
        (tmp_path / "aegis.yaml").write_text(yaml.safe_dump(settings))

    write_documents(project.root, ["c/a.txt"], paragraphs=6)
    assert daemon.tick() == ["c"]
    configure("0.000001")
    assert daemon.schedule("reembedding", NIGHT) == []
    assert "1 documents are stale" in daemon.said and "may spend 0.000001 USD more this month" in daemon.said
    configure("100")
    # Neither the sensor nor the nightly run spends it unasked, also where they have something else to do.
    assert Daemon(daemon.instance).tick() == [] and daemon.schedule("nightly_catch_up", NIGHT) == []
    write_documents(project.root, ["c/b.txt"], paragraphs=6)
    assert daemon.tick() == ["c"]
    assert Project(load_settings()).ledger_reports.usage(("provider",))[0].calls == 1
    embeds_nothing_anew, embeds_anew = unasked(Project(load_settings())), IngestOptions().run_config()
    queue(daemon, "c", embeds_nothing_anew)  # a night's run that is not over
    (request,) = daemon.schedule("reembedding", NIGHT)
    assert request.tags[FORECAST_TAG].startswith("1 calls, 0.00")
    asked_for = queue(daemon, "c", embeds_anew)
    assert daemon.schedule("reembedding", NIGHT) == [] and "A run is at work on: c." in daemon.said
    daemon.instance.report_run_canceled(asked_for)
    assert run_all(daemon, [request], "ingest_parallel") == ["c"]
    now = Project(load_settings())
    assert now.vectors.active_collection() == now.vectors.collection
    assert now.ledger_reports.usage(("provider",))[0].calls == 2
    assert daemon.schedule("reembedding", NIGHT) == []


def test_documents_without_money_wait_for_the_night_and_make_no_runs_by_day(
    project: Project, daemon: Daemon, server: LLMServer, tmp_path: Path
) -> None:
    def configure(limit_usd: str) -> None:
        settings = {
            "llm": llm_settings(server, limit_usd=limit_usd),
            "embed": {"model": f"openai/{EMBEDDING}"},
            "enrich": {"describer": "ocr"},
            "graph": {"extractor": "statistical"},
        }
        (tmp_path / "aegis.yaml").write_text(yaml.safe_dump(settings))

    configure("0.000001")
    write_documents(project.root, ["c/a.txt"], paragraphs=6)
    assert daemon.tick() == ["c"]
    assert Project(load_settings()).reports.summaries()[0].by_status[Status.DEFERRED] == 1
    assert Daemon(daemon.instance).tick() == []
    configure("100")
    assert Daemon(daemon.instance).tick() == []  # nobody tells the sensor that a limit was raised
    assert run_all(daemon, list(daemon.schedule("nightly_catch_up", NIGHT)), "ingest") == ["c"]
    assert Project(load_settings()).reports.summaries()[0].by_status[Status.DONE] == 1


def test_the_month_before_is_reported_as_page_and_table(project: Project, daemon: Daemon) -> None:
    import pandas as pd

    first = project.clock.now().replace(day=1, hour=6)
    last_month = first - timedelta(days=3)
    pay(project, calls=3, usd="0.5", at=last_month)
    pay(project, usd="0.25", at=last_month, collection="d", task_type=TaskType.IMAGE_DESCRIPTION)
    pay(project, usd="7")  # this month
    (request,) = daemon.schedule("monthly_cost_report", first)
    result = daemon.run(request, "report_month")
    assert result.success
    (event,) = result.get_asset_materialization_events()
    said = {name: value.value for name, value in event.materialization.metadata.items()}
    month = month_of(last_month)
    assert (said["month"], said["total_usd"], said["calls"], said["dagster/row_count"]) == (month, 1.75, 4, 2)
    page = (project.settings.home / "reports" / f"costs-{month}.md").read_text("utf-8")
    assert page == said["report"]
    assert page.startswith(f"# Costs of {month}\n\n**1.75 USD**") and "7.00" not in page
    for line in ("| openai | 1.75 | 20.00 | 9 % |", "| c | 3 |", "| d | 1 |", "| image_description | 1 |"):
        assert line in page
    frame = pd.read_parquet(project.settings.home / "reports" / f"costs-{month}.parquet")
    assert int(frame["cost_nanousd"].sum()) == 1_750_000_000
    assert len(list((project.settings.home / "reports").iterdir())) == 2
    future = {"ops": {"monthly_cost_report": {"config": {"month": "2999-01"}}}}
    assert not daemon.run(dg.RunRequest(run_key="x", run_config=future), "report_month").success


@pytest.mark.parametrize(
    ("zone", "at", "asked_for"),
    [
        ("Asia/Tokyo", "2026-12-01 06:00", None),  # 2026-11-30 21:00 UTC
        ("Asia/Tokyo", "2026-12-01 09:00", "2026-11"),
        ("Asia/Tokyo", "2026-12-02 06:00", "2026-11"),
        ("America/Los_Angeles", "2027-01-01 06:00", "2026-12"),
        ("America/Los_Angeles", "2026-12-31 20:00", "2026-11"),
        ("UTC", "2027-01-01 00:00", "2026-12"),
    ],
)
def test_a_month_is_reported_when_it_is_over_in_utc(
    project: Project, daemon: Daemon, tmp_path: Path, zone: str, at: str, asked_for: str | None
) -> None:
    settings = {"schedules": {"monthly_cost_report": {"cron": "0 6 1 * *", "time_zone": zone}}}
    (tmp_path / "aegis.yaml").write_text(yaml.safe_dump(settings))
    time = datetime.fromisoformat(at).replace(tzinfo=ZoneInfo(zone))
    requests = daemon.schedule("monthly_cost_report", time)
    assert [request.run_key for request in requests] == ([f"costs-{asked_for}"] if asked_for else [])
    if not asked_for:
        assert "2026-11 is not over" in daemon.said and "an hour after 09:00" in daemon.said


def test_the_report_of_a_month_that_is_not_over_says_so(project: Project) -> None:
    now = project.clock.now()
    assert "The month is not over" in report_page(project, month_of(now), [])
    assert "The month is not over" not in report_page(project, month_before(now), [])


def test_times_zones_and_switches_are_settings(project: Project, tmp_path: Path) -> None:
    settings = {"schedules": {"reembedding": {"cron": "30 3 * * 6", "time_zone": "Europe/Berlin", "enabled": True}}}
    (tmp_path / "aegis.yaml").write_text(yaml.safe_dump(settings))
    repository = build_definitions().get_repository_def()
    changed = repository.get_schedule_def("reembedding")
    assert (changed.cron_schedule, changed.execution_timezone) == ("30 3 * * 6", "Europe/Berlin")
    on = {name: repository.get_schedule_def(name).default_status.value for name in ("reembedding", "nightly_catch_up")}
    assert on == {"reembedding": "RUNNING", "nightly_catch_up": "STOPPED"}
    for name in ("check_costs_hourly", "monthly_cost_report"):
        assert repository.get_schedule_def(name).default_status is dg.DefaultScheduleStatus.RUNNING


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ({"cron": "every night"}, "schedules.nightly_catch_up.cron"),
        ({"cron": "0 0 31 2 *"}, "Bad day-of-month"),
        ({"time_zone": "Europe/Berlni"}, "schedules.nightly_catch_up.time_zone"),
        ({"time_zone": "berlin"}, "perhaps Europe/Berlin"),
    ],
)
def test_a_wrong_time_is_named_and_the_definitions_still_load(
    project: Project, tmp_path: Path, schedule: dict[str, str], told: str
) -> None:
    (tmp_path / "aegis.yaml").write_text(yaml.safe_dump({"schedules": {"nightly_catch_up": schedule}}))
    with pytest.raises(ConfigurationError, match=told):
        load_settings()
    assert settings_or_defaults(None).schedules == ScheduleSettings()
    dg.Definitions.validate_loadable(build_definitions())
