"""Channels that change, are slow, or whose words cross: nothing is lost, and nothing fires for ever."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from aegis_dagster.domain.alerts import AlertEvent, AlertKey, AlertKind, Links, Page, Severity, Told
from aegis_dagster.errors import NotDelivered, Unconfirmed
from aegis_dagster.monitoring.paging.apprise import AppriseChannel
from aegis_dagster.monitoring.paging.channels import channels_of
from aegis_dagster.monitoring.paging.pager import MOST_UNCONFIRMED, Pager
from aegis_dagster.settings.monitoring import AlertSettings
from aegis_dagster.stores.alerts.alerts import Alerts, now_us
from aegis_dagster.stores.alerts.outbox import AlertsOutbox
from aegis_dagster.stores.database import open_database
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.places import REPOSITORY
from aegis_dagster_tests.support.servers.prometheus import alertmanager_server
from aegis_dagster_tests.support.servers.webhook import Webhook, webhook_receiver
from aegis_dagster_tests.support.watched_instance import WARN, Watched

DELIVERED = REPOSITORY / "dashboards" / "alertmanager" / "alertmanager.yml"
DAY = 86_400.0


@dataclass
class Receiver:
    """A channel that keeps what it is told, and does as told meanwhile. Implements PageChannel."""

    name: str = "notify-fake-1"
    error: NotDelivered | None = None
    stands_seconds: float = 0.0
    told: list[tuple[str, bool]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    while_keeping: Any = None

    def send(self, page: Page) -> None:
        self.told.append((page.key.name, page.firing))
        if self.error is not None:
            raise self.error

    def keep(self, firing: Sequence[Page]) -> None:
        self.kept += [page.key.name for page in firing]
        if self.while_keeping is not None:
            self.while_keeping()


class Pages:
    """A database with its pager, and events that happen when the clock says."""

    def __init__(self, folder: Path) -> None:
        self.clock = SetClock()
        engine = open_database(f"sqlite:///{folder / 'aegis.db'}")
        self.alerts, self.outbox = Alerts(engine, self.clock), AlertsOutbox(engine, self.clock)

    def look(self, *channels: Receiver) -> None:
        pager = Pager(self.alerts, self.outbox, channels, retry_seconds=1, clock=self.clock)
        pager.begin()
        pager.deliver(10)
        self.clock.move(60)

    def happens(self, name: str, *, bad: bool) -> None:
        severity = Severity.CRITICAL if bad else None
        self.alerts.apply([AlertEvent(AlertKey(AlertKind.RUN, name), now_us(self.clock), severity)])
        self.clock.move(1)


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    return Pages(tmp_path)


def down(name: str) -> Receiver:
    return Receiver(name, NotDelivered("down", remedy="start it"))


def test_a_corrected_address_gets_what_the_wrong_one_did_not(pages: Pages) -> None:
    wrong, right, mail = down("notify-slack-111111"), Receiver("notify-slack-222222"), Receiver("notify-mail-1")
    pages.look(wrong, mail)
    for name, bad in (("a", True), ("b", True), ("a", False)):
        pages.happens(name, bad=bad)
        pages.look(wrong, mail)
    pages.look(right, mail)
    assert right.told == [("a", True), ("b", True), ("a", False)]
    assert mail.told == [("a", True), ("b", True), ("a", False)]
    assert pages.alerts.waiting_by_channel() == {"notify-mail-1": 0, "notify-slack-222222": 0}


def test_a_channel_is_missed_for_a_day_from_the_first_look_without_it(pages: Pages) -> None:
    phone, other = down("notify-slack-111111"), Receiver("notify-mail-1")
    pages.look(phone, other)
    pages.happens("a", bad=True)
    pages.look(phone, other)
    pages.clock.move(3 * DAY)  # nobody looked
    pages.look(other)
    assert pages.alerts.waiting_by_channel()["notify-slack-111111"] == 1
    phone.error = None
    pages.look(phone, other)
    assert phone.told[-1] == ("a", True)
    pages.look(other)
    pages.clock.move(2 * DAY)
    pages.look(other)
    assert pages.alerts.waiting_by_channel() == {"notify-mail-1": 0}


def test_who_answers_too_late_gets_a_page_three_times_and_no_more(pages: Pages) -> None:
    slow = Receiver(error=Unconfirmed("no answer", remedy="wait"))
    pages.look(slow)
    pages.happens("a", bad=True)
    for _ in range(MOST_UNCONFIRMED + 3):
        pages.look(slow)
    assert slow.told == [("a", True)] * MOST_UNCONFIRMED
    assert pages.alerts.waiting_by_channel() == {slow.name: 0}


def test_what_ends_while_it_is_said_again_is_ended_last(pages: Pages) -> None:
    channel = Receiver()
    pages.look(channel)
    pages.happens("a", bad=True)
    pages.happens("b", bad=True)
    pages.look(channel)
    channel.while_keeping = lambda: pages.happens("a", bad=False)
    pages.look(channel)
    assert channel.kept[-2:] == ["a", "b"] and channel.told[-1] == ("a", False)


@pytest.fixture
def slow_address() -> Iterator[str]:
    """An address of Apprise whose server takes a page and says nothing for a while."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            ended.wait(200)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"json://127.0.0.1:{server.server_port}/x"
    ended.set()
    server.shutdown()
    server.server_close()


def test_apprise_tells_a_late_answer_from_a_refusal(slow_address: str) -> None:
    page = Page(AlertKey(AlertKind.RUN, "a"), Severity.WARNING, True, 1, 1, told=Told())
    with pytest.raises(Unconfirmed, match="did not answer within"):
        AppriseChannel(slow_address, links=Links()).send(page)
    with pytest.raises(NotDelivered) as refused:
        AppriseChannel("json://127.0.0.1:1/x", links=Links()).send(page)
    assert not isinstance(refused.value, Unconfirmed)


def test_the_delivered_configuration_tells_of_a_failure_that_soon_ends(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def severities(phone: Webhook) -> set[str]:
        return {alert["labels"]["severity"] for alert in phone.alerts("AssetCheckFailed")}

    config = yaml.safe_load(DELIVERED.read_text("utf-8"))
    with webhook_receiver() as phone:
        for receiver in config["receivers"]:
            receiver["webhook_configs"][0]["url"] = phone.url
        with alertmanager_server(config) as alertmanager:
            monkeypatch.setenv("AEGIS_ALERTS__ALERTMANAGER", alertmanager.url)
            watched.look()
            watched.evaluate("a", "bad", False)
            watched.evaluate("a", "odd", False, severity=WARN)
            watched.look()
            phone.wait_for(lambda page: severities(page) == {"critical", "warning"}, seconds=200)
    # The all-clear does not come before that: otherwise Alertmanager would tell nobody of either.
    waits = [route["group_wait"] for route in routes_below(config["route"]) if "check" in route.get("group_by", [])]
    assert len(waits) == 2
    assert all(float(wait.removesuffix("s")) < AlertSettings().stands_seconds for wait in waits)


def routes_below(route: dict[str, Any]) -> list[dict[str, Any]]:
    return [found for child in route.get("routes", []) for found in (child, *routes_below(child))]


def test_an_operator_ends_what_nothing_else_can_end(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook_receiver() as phone:
        monkeypatch.setenv("AEGIS_NOTIFY", phone.url.replace("http://", "json://"))
        monkeypatch.setenv("AEGIS_ALERTS__RUNBOOK_URL", "https://docs.example/RUNBOOK.md")
        watched.look()
        watched.evaluate("gone/asset", "bad", False)
        watched.look()
        aegis = InProcess(Path.cwd() / "home", monkeypatch)
        (firing,) = aegis.json("alerts")["firing"]
        assert firing["runbook_url"] == "https://docs.example/RUNBOOK.md#assetcheckfailed"
        assert "no alert" in aegis.refusal("alerts", "clear", "nothing")["message"].lower()
        assert aegis.json("alerts", "clear", firing["id"])["cleared"] == ["Check bad of gone/asset"]
        watched.look()
        phone.wait_for(lambda page: "all clear" in str(page.bodies[-1]), seconds=200)
        state = aegis.json("alerts")
        assert state["firing"] == [] and set(state["waiting"].values()) == {0}
        (channel,) = state["waiting"]
        assert aegis.json("alerts", "forget", channel) == {"forgotten": channel}
        assert aegis.json("alerts")["waiting"] == {}
        assert "no channel" in aegis.refusal("alerts", "forget", channel)["message"].lower()


def test_channels_are_built_once_each(pages: Pages) -> None:
    found = channels_of("http://am", ["json://a", "json://a"], links=Links(), stands_seconds=7, clock=pages.clock)
    assert [channel.stands_seconds for channel in found] == [7, 0]
