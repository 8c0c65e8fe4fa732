"""Pages to Alertmanager, through its API v2.

A firing alert gets an end days ahead, and is sent again at every tick: a restarted Alertmanager learns of it within
seconds, and a Dagster daemon that is down clears nothing. The same alert sent twice is one page.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from aegis_dagster.domain.alerts import AlertKind, Links, Page
from aegis_dagster.errors import NotDelivered
from aegis_dagster.monitoring.paging.wording import labels_of, notes_of
from aegis_dagster.ports import Clock
from aegis_dagster.stores.alerts.alerts import ALERTMANAGER

_FIRES_FOR = timedelta(days=4)  # without being sent again: longer than a weekend
_A_TEST_FIRES_FOR = timedelta(minutes=5)
# An end in the future of Alertmanager's clock is overridden by the later end that was sent before: the all-clear would
# come days late. So it is backdated by more than two clocks should differ.
_CLOCKS_DIFFER = timedelta(minutes=10)
_TIMEOUT_SECONDS = 5.0
_AT_ONCE = 200  # alerts in one request


class AlertmanagerChannel:
    """One Alertmanager. Implements `ports.PageChannel`."""

    name = ALERTMANAGER

    def __init__(self, url: str, *, links: Links, stands_seconds: float, clock: Clock) -> None:
        """stands_seconds: more than the route's `group_wait`; an alert that ends earlier causes no notification."""
        self._url = f"{url.rstrip('/')}/api/v2/alerts"
        self._links = links
        self._clock = clock
        self.stands_seconds = stands_seconds

    def send(self, page: Page) -> None:
        """Open or end an alert. Raises NotDelivered."""
        self._post([self._alert(page)])

    def keep(self, firing: Sequence[Page]) -> None:
        """Send the firing alerts again. Raises NotDelivered."""
        for begin in range(0, len(firing), _AT_ONCE):
            self._post([self._alert(page) for page in firing[begin : begin + _AT_ONCE]])

    def _alert(self, page: Page) -> dict[str, Any]:
        now, notes = self._clock.now(), notes_of(page, self._links)
        ends = now - _CLOCKS_DIFFER
        # It refuses an end before the start, and keeps the earlier of two starts.
        starts = min(datetime.fromtimestamp(page.since_us / 1_000_000, UTC), now if page.firing else ends)
        lasts = _A_TEST_FIRES_FOR if page.key.kind is AlertKind.TEST else _FIRES_FOR
        return {
            "labels": labels_of(page),
            "annotations": notes,
            "startsAt": starts.isoformat(),
            "endsAt": (now + lasts if page.firing else ends).isoformat(),
            "generatorURL": notes.get("run_url", self._links.dagster_url),
        }

    def _post(self, alerts: list[dict[str, Any]]) -> None:
        import httpx

        try:
            answer = httpx.post(self._url, json=alerts, timeout=_TIMEOUT_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotDelivered(
                f"Alertmanager does not answer: {type(error).__name__}.",
                remedy="start it, or correct AEGIS_ALERTS__ALERTMANAGER; undelivered messages are kept.",
            ) from error
        if answer.status_code != httpx.codes.OK:
            raise NotDelivered(
                f"Alertmanager refused a page: HTTP {answer.status_code}.",
                remedy="look into its log; AEGIS_ALERTS__ALERTMANAGER must name its root, as http://127.0.0.1:9093.",
            )
