"""Pages through the real Alertmanager to a real webhook: one page and one all-clear a change, also when it was down."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from aegis_dagster_tests.support.servers.prometheus import Alertmanager, alertmanager_server, webhook_config
from aegis_dagster_tests.support.servers.webhook import Webhook, webhook_receiver
from aegis_dagster_tests.support.watched_instance import WARN, Watched

CHECK, RUN = "AssetCheckFailed", "DagsterRunFailed"
QUIET_SECONDS = 2.5  # longer than Alertmanager's `group_interval`: what it has to say by then, it has said


@dataclass(frozen=True, slots=True)
class Duty:
    """Who is on duty: behind an Alertmanager, a webhook."""

    alertmanager: Alertmanager
    phone: Webhook

    def told(self, name: str) -> list[tuple[str, str, str]]:
        """Severity, status and subject of each page, in order of arrival."""
        alerts = self.phone.alerts(name)
        return [(a["labels"]["severity"], a["status"], a["labels"].get("check") or a["labels"]["job"]) for a in alerts]


@pytest.fixture(scope="module")
def alertmanager_and_webhook() -> Iterator[Duty]:
    with webhook_receiver() as phone, alertmanager_server(webhook_config(phone.url)) as alertmanager:
        yield Duty(alertmanager, phone)


@pytest.fixture
def duty(watched: Watched, alertmanager_and_webhook: Duty, monkeypatch: pytest.MonkeyPatch) -> Duty:
    """The sensor has looked once already."""
    monkeypatch.setenv("AEGIS_ALERTS__ALERTMANAGER", alertmanager_and_webhook.alertmanager.url)
    monkeypatch.setenv("AEGIS_ALERTS__DAGSTER_URL", "https://dagster.example/")
    watched.look()
    return alertmanager_and_webhook


def told_of(duty: Duty, check: str) -> list[tuple[str, str]]:
    return [(severity, status) for severity, status, name in duty.told(CHECK) if name == check]


def wait_for(duty: Duty, check: str, count: int) -> None:
    duty.phone.wait_for(lambda _: len(told_of(duty, check)) >= count, seconds=200)


def test_a_change_is_paged_and_cleared_once_with_all_that_is_known(watched: Watched, duty: Duty) -> None:
    watched.evaluate("sales/orders", "one", False, partition="2026-01", description="3 rows\nwith <b>ünï ☃")
    for _ in range(3):
        watched.look()
    wait_for(duty, "one", 1)
    (page,) = [alert for alert in duty.phone.alerts(CHECK) if alert["labels"]["check"] == "one"]
    labels = {"alertname": CHECK, "asset": "sales/orders", "check": "one", "partition": "2026-01"}
    assert page["labels"] == {**labels, "severity": "critical"}
    notes = page["annotations"]
    assert notes["summary"] == "Check one of sales/orders, partition 2026-01 failed"
    assert notes["description"] == "3 rows\nwith ‹b›ünï ☃"
    assert notes["run_url"].startswith("https://dagster.example/runs/") and len(notes["run_url"]) > 60
    assert notes["runbook_url"].endswith("docs/guides/MONITORING.md#assetcheckfailed")
    watched.evaluate("sales/orders", "one", False, partition="2026-01", description="4 rows")
    watched.look()
    watched.evaluate("sales/orders", "one", True, partition="2026-01", description="0 rows")
    watched.clock.move(seconds=1)
    for _ in range(3):
        watched.look()
    wait_for(duty, "one", 2)
    time.sleep(QUIET_SECONDS)
    assert told_of(duty, "one") == [("critical", "firing"), ("critical", "resolved")]
    assert watched.alerts().waiting_by_channel() == {"alertmanager": 0}


def test_an_alertmanager_that_is_down_is_told_everything_once(watched: Watched, duty: Duty) -> None:
    watched.evaluate("a", "before", False)
    watched.look()
    wait_for(duty, "before", 1)
    duty.alertmanager.stop()
    watched.evaluate("a", "before", True)  # its all-clear
    watched.evaluate("a", "during", False)
    watched.evaluate("a", "short", False)
    watched.evaluate("a", "short", True)  # over before anybody could be told
    for _ in range(2):
        watched.clock.move(seconds=30)
        assert "Alertmanager does not answer" in watched.look()
    assert watched.alerts().waiting_by_channel() == {"alertmanager": 4}
    duty.alertmanager.start()
    for _ in range(4):
        watched.clock.move(seconds=60)
        watched.look()
        time.sleep(0.3)
    for check, count in (("before", 2), ("during", 1), ("short", 2)):
        wait_for(duty, check, count)
    time.sleep(QUIET_SECONDS)
    assert told_of(duty, "before") == [("critical", "firing"), ("critical", "resolved")]
    assert told_of(duty, "during") == [("critical", "firing")]
    assert told_of(duty, "short") == [("critical", "firing"), ("critical", "resolved")]


def test_an_alertmanager_that_lost_its_memory_is_told_again_what_fires(watched: Watched, duty: Duty) -> None:
    with alertmanager_server(webhook_config(duty.phone.url)) as fresh:
        watched.evaluate("a", "lasting", False)
        watched.look()
        wait_for(duty, "lasting", 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AEGIS_ALERTS__ALERTMANAGER", fresh.url)  # as one that was started without its data
            watched.look()
        held = {alert["labels"].get("check"): alert["endsAt"] for alert in fresh.alerts()}
    assert set(held) == {"lasting"}
    assert datetime.fromisoformat(held["lasting"]) > watched.clock.now() + timedelta(days=3)


def test_another_severity_is_another_page_and_the_old_one_is_cleared(watched: Watched, duty: Duty) -> None:
    watched.evaluate("a", "worse", False, severity=WARN)
    watched.look()
    wait_for(duty, "worse", 1)
    watched.evaluate("a", "worse", False)
    for _ in range(3):
        watched.clock.move(seconds=1)
        watched.look()
    wait_for(duty, "worse", 3)
    time.sleep(QUIET_SECONDS)
    assert sorted(told_of(duty, "worse")) == [
        ("critical", "firing"),
        ("warning", "firing"),
        ("warning", "resolved"),
    ]
    (left,) = [alert for alert in duty.alertmanager.alerts() if alert["labels"].get("check") == "worse"]
    assert left["labels"]["severity"] == "critical"


def test_a_run_that_fails_and_succeeds_again(watched: Watched, duty: Duty) -> None:
    watched.run(fails=True)
    watched.look()
    duty.phone.wait_for(lambda phone: len(phone.alerts(RUN)) >= 1, seconds=200)
    watched.run(fails=False)
    watched.clock.move(seconds=1)
    watched.look()
    duty.phone.wait_for(lambda phone: len(phone.alerts(RUN)) >= 2, seconds=200)
    assert duty.told(RUN) == [("critical", "firing", "nightly"), ("critical", "resolved", "nightly")]
    assert "the disk is on fire" in duty.phone.alerts(RUN)[0]["annotations"]["description"]
