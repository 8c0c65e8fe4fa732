"""Pages through Apprise to a real HTTP receiver: one a change, whatever happens between."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import dagster as dg
import pytest

from aegis_dagster.composition.pager import paging_channels
from aegis_dagster.composition.project import Project
from aegis_dagster.definitions import build_definitions
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.settings import load_settings
from aegis_dagster_tests.support.servers.webhook import Webhook, webhook_receiver
from aegis_dagster_tests.support.watched_instance import ERROR, WARN, Watched


@pytest.fixture
def phone(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """Where all pages go; the sensor has looked once already."""
    with webhook_receiver() as receiver:
        monkeypatch.setenv("AEGIS_NOTIFY", address(receiver))
        watched.look()
        yield receiver


def address(receiver: Webhook) -> str:
    return receiver.url.replace("http://", "json://")


def titles(receiver: Webhook) -> list[str]:
    return [body["title"] for body in receiver.bodies]


def test_a_check_pages_once_and_clears_once(watched: Watched, phone: Webhook) -> None:
    for passed in (True, False, False, False):
        watched.evaluate("sales/orders", "fresh", passed)
        watched.look()
    watched.evaluate("sales/orders", "fresh", False)
    watched.look()
    watched.look()
    assert titles(phone) == ["[critical] Check fresh of sales/orders failed"]
    watched.evaluate("sales/orders", "fresh", True)
    watched.look()
    watched.evaluate("sales/orders", "fresh", True)
    watched.look()
    assert titles(phone)[1:] == ["[all clear] Check fresh of sales/orders passes again"]
    assert [body["type"] for body in phone.bodies] == ["failure", "success"]


def test_what_failed_and_passed_between_two_looks_pages_and_clears(watched: Watched, phone: Webhook) -> None:
    for passed in (False, True, False):
        watched.evaluate("a", "c", passed)
    watched.look()
    kinds = ["failed", "passes again", "failed"]
    assert titles(phone) == [f"[{'all clear' if 'again' in k else 'critical'}] Check c of a {k}" for k in kinds]


def test_partitions_and_checks_are_separate_and_a_warning_is_less_than_an_error(
    watched: Watched, phone: Webhook
) -> None:
    watched.evaluate("a", "c", False, partition="2026-01")
    watched.evaluate("a", "c", True, partition="2026-02")
    watched.evaluate("a", "c", False, partition="2026-03", severity=WARN)
    watched.evaluate("a", "d", True)
    watched.look()
    assert titles(phone) == [
        "[critical] Check c of a, partition 2026-01 failed",
        "[warning] Check c of a, partition 2026-03 failed",
    ]
    watched.evaluate("a", "c", False, partition="2026-03", severity=ERROR)  # worse: news, but no all-clear
    watched.evaluate("a", "c", True, partition="2026-01")
    watched.look()
    assert titles(phone)[2:] == [
        "[critical] Check c of a, partition 2026-03 failed",
        "[all clear] Check c of a, partition 2026-01 passes again",
    ]


def test_a_page_of_a_check_in_a_run_has_figures_description_and_the_run(watched: Watched, phone: Webhook) -> None:
    odd = 'Zeilenende\nund "Zitat" <b>&amp;</b> {0} %s \x00\x1b[31m ünï ☃ \ud83d'
    run = watched.check_in_a_run(
        [
            dg.AssetCheckResult(
                passed=False,
                check_name="budget",
                description=odd,
                metadata={"spent_usd": 20.25, "documents": 12345, "note": "text is no figure", "limit": float("inf")},
            ),
            dg.AssetCheckResult(passed=True, check_name="other"),
        ]
    )
    watched.look()
    (page,) = phone.bodies
    assert page["title"] == "[critical] Check budget of ours failed"
    text = page["message"]
    assert 'Zeilenende\nund "Zitat" ‹b›&amp;‹/b› {0} %s' in text and "ünï ☃" in text and "\x00" not in text
    (figures,) = [line for line in text.splitlines() if line.startswith("Figures: ")]
    assert sorted(figures.removeprefix("Figures: ").split("; ")) == ["documents 12,345", "limit inf", "spent_usd 20.25"]
    assert f"Run: http://127.0.0.1:3000/runs/{run}" in text
    assert "asset: ours, check: budget, severity: critical" in text
    assert "docs/guides/MONITORING.md#assetcheckfailed" in text


def test_runs_page_by_job_and_partition_and_clear_when_one_succeeds(watched: Watched, phone: Webhook) -> None:
    run = watched.run(fails=True, partition="a")
    watched.run(fails=True, partition="a")
    watched.run(fails=False, partition="b")
    watched.run(fails=False)
    watched.look()
    (page,) = phone.bodies
    assert page["title"] == "[critical] Job nightly, partition a: a run failed"
    assert "the disk is on fire" in page["message"] and f"/runs/{run}" in page["message"]
    canceled = watched.instance.create_run_for_job(_empty())
    watched.instance.report_run_canceled(canceled)
    watched.run(fails=False, partition="a")
    watched.look()
    assert titles(phone)[1:] == ["[all clear] Job nightly, partition a: a run succeeded again"]


def _empty() -> dg.JobDefinition:
    @dg.job
    def canceled() -> None:
        pass

    return canceled


def test_a_cursor_that_is_lost_and_a_tick_that_is_repeated_change_nothing(watched: Watched, phone: Webhook) -> None:
    for passed in (True, False, True, False):
        watched.evaluate("a", "c", passed)
    watched.run(fails=True)
    before = watched.cursor
    watched.look()
    assert len(phone.bodies) == 4
    for cursor in (before, 0, 10**9):  # as before; reset in the UI; of a log that was made anew since
        watched.cursor = cursor
        watched.look()
    watched.clock.move(minutes=10)
    watched.look()
    assert watched.cursor > 0
    watched.cursor = 0
    watched.look()
    assert len(phone.bodies) == 4
    watched.evaluate("a", "c", True)
    watched.look()
    assert titles(phone)[4:] == ["[all clear] Check c of a passes again"]


def test_a_sensor_that_is_new_pages_what_fails_now_and_no_history(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    for check, verdicts in {"broken": "FPFPF", "mended": "FPFP", "well": "PP"}.items():
        for verdict in verdicts:
            watched.evaluate("old", check, verdict == "P")
    with webhook_receiver() as phone:
        monkeypatch.setenv("AEGIS_NOTIFY", address(phone))
        watched.look()
        watched.look()
        assert titles(phone) == ["[critical] Check broken of old failed"]
        with webhook_receiver() as second:  # one that comes later is told what fires
            monkeypatch.setenv("AEGIS_NOTIFY", f"{address(phone)}\n{address(second)}")
            watched.look()
            assert titles(second) == titles(phone) == ["[critical] Check broken of old failed"]


def test_a_channel_that_is_down_holds_up_no_other_and_misses_nothing(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as open_:
        good, bad = open_.enter_context(webhook_receiver()), open_.enter_context(webhook_receiver())
        monkeypatch.setenv("AEGIS_NOTIFY", f"{address(bad)} {address(good)} unknown-to-apprise")
        bad.answer = 503
        watched.look()
        for passed in (False, True):
            watched.evaluate("a", "c", passed)
            told = watched.look()
            assert "did not take a page: HTTP 503" in told and "none that Apprise understands" in told
            watched.clock.move(seconds=30)
        assert len(good.bodies) == 2
        assert {body["title"] for body in bad.bodies} == {"[critical] Check c of a failed"}  # order is kept
        refused, bad.answer = len(bad.bodies), 200
        watched.look()
        watched.look()
        assert titles(bad)[refused:] == titles(good)
        waiting = watched.alerts().waiting_by_channel()
        assert sorted(waiting.values()) == [0, 0, 2]
        monkeypatch.setenv("AEGIS_NOTIFY", address(good))
        watched.look()
        watched.clock.move(days=2)
        watched.look()  # and who is not named for a day is forgotten
        assert list(watched.alerts().waiting_by_channel().values()) == [0]


def test_the_sensor_of_the_definitions_pages_and_says_what_it_did(watched: Watched, phone: Webhook) -> None:
    watched.evaluate("a", "c", False)
    sensor = build_definitions().resolve_sensor_def("page_on_change")
    assert sensor.minimum_interval_seconds == 1 and sensor.default_status is dg.DefaultSensorStatus.RUNNING
    result = _tick(sensor, watched, cursor=None)
    assert result.skip_reason is not None and result.skip_reason.skip_message is not None
    assert result.skip_reason.skip_message.startswith("Sent 1 to notify-json-")
    assert result.cursor is not None
    again = _tick(sensor, watched, cursor=result.cursor)
    assert again.skip_reason is not None and again.skip_reason.skip_message == "Nothing to tell."
    assert len(phone.bodies) == 1


@pytest.mark.parametrize(
    ("job", "chosen", "told"),
    [
        ("clean_up", None, "Job clean_up"),
        ("__ASSET_JOB", "chunks", "Job __ASSET_JOB(chunks)"),  # what the UI's button Materialize launches
    ],
)
def test_a_run_whose_process_is_gone_is_paged(
    watched: Watched, phone: Webhook, job: str, chosen: str | None, told: str
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    watched.look()
    run = watched.instance.create_run_for_job(
        build_definitions().get_repository_def().get_job(job),
        status=dg.DagsterRunStatus.STARTED,
        asset_selection={dg.AssetKey(chosen)} if chosen else None,
    )
    watched.instance.report_engine_event(f"Started process for run (pid: {ended.pid}).", run)
    _tick(build_definitions().resolve_sensor_def("page_on_change"), watched, cursor=None)
    phone.wait_for(lambda page: f"[critical] {told}: a run failed" in titles(page), seconds=200)
    assert titles(phone) == [f"[critical] {told}: a run failed"]


def test_without_channels_the_sensor_says_how_to_get_one(watched: Watched) -> None:
    result = _tick(build_definitions().resolve_sensor_def("page_on_change"), watched, cursor="7")
    assert result.skip_reason is not None
    told = str(result.skip_reason.skip_message)
    assert "AEGIS_ALERTS__ALERTMANAGER" in told and "AEGIS_NOTIFY" in told and result.cursor == "7"
    assert paging_channels(Project(load_settings())) == []


def _tick(sensor: dg.SensorDefinition, watched: Watched, *, cursor: str | None) -> dg.SensorResult:
    with dg.build_sensor_context(
        instance=watched.instance, cursor=cursor, resources={"project": ProjectResource()}
    ) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result
