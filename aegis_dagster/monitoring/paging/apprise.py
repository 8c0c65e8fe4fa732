"""Pages through Apprise: Slack, PagerDuty, mail, a webhook, or whatever else an address names.

An address contains its secret. Neither the address nor Apprise's messages about it get into a name, an error or a log:
only the kind of a failure is reported.
"""

import hashlib
import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aegis_dagster.domain.alerts import Links, Page, Severity
from aegis_dagster.errors import NotDelivered, Unconfirmed
from aegis_dagster.monitoring.paging.wording import labels_of, notes_of, title_of

if TYPE_CHECKING:
    from apprise import Apprise, NotifyLogEntry

VARIABLE = "AEGIS_NOTIFY"
_TIMEOUT_SECONDS = 8.0
# Apprise stops waiting for an answer after 4 s and reports a refusal. Our limit comes first, and is told apart.
_READING_SECONDS = 2 * _TIMEOUT_SECONDS
_HTTP_STATUS = re.compile(r"error\s*[=:]\s*(\d{3})\b")
_REMEDY = f"correct that address in {VARIABLE} and try `aegis alerts test`; undelivered messages are kept."


class AppriseChannel:
    """One address of Apprise. Implements `ports.PageChannel`."""

    stands_seconds = 0.0

    def __init__(self, address: str, *, links: Links) -> None:
        self._address = address
        self._links = links
        schema = re.match(r"[A-Za-z0-9]{1,20}(?=://)", address)
        digest = hashlib.sha256(address.encode("utf-8", "surrogateescape")).hexdigest()
        self.name = f"notify-{schema[0].lower() if schema else 'unknown'}-{digest[:6]}"

    def send(self, page: Page) -> None:
        """Send a message. Raises NotDelivered; Unconfirmed when nobody answers in time."""
        from apprise import NotifyFormat, NotifyType
        from apprise.result import AppriseResultStatus

        bad = NotifyType.FAILURE if page.severity is Severity.CRITICAL else NotifyType.WARNING
        service, seen = self.service(), _Seen()
        result = service.notify(
            body=self._text(page),
            title=title_of(page),
            body_format=NotifyFormat.TEXT,  # where a service takes HTML or Markdown, Apprise escapes it
            notify_type=bad if page.firing else NotifyType.SUCCESS,
            timeout=_TIMEOUT_SECONDS,
            log_callback=seen,
            log_level=logging.WARNING,
        )
        if result.status is AppriseResultStatus.TIMEOUT:
            raise Unconfirmed(f"It did not answer within {_TIMEOUT_SECONDS:.0f} s.", remedy=_REMEDY)
        if not result:
            raise NotDelivered(f"It did not take a page: {seen.reason}.", remedy=_REMEDY)

    def keep(self, firing: Sequence[Page]) -> None:
        """Does nothing: sent messages stay where they are."""

    def service(self) -> "Apprise":
        """Apprise's service for the address. Raises NotDelivered if Apprise does not understand it."""
        from apprise import Apprise

        quiet_apprise()
        service = Apprise()
        if not service.add(self._address):
            raise NotDelivered(f"Address {self.name} is none that Apprise understands.", remedy=_REMEDY)
        for plugin in service:
            plugin.socket_read_timeout = _READING_SECONDS
        return service

    def _text(self, page: Page) -> str:
        notes = notes_of(page, self._links)
        labels = ", ".join(f"{name}: {value}" for name, value in labels_of(page).items() if name != "alertname")
        lines = [
            notes.get("description", ""),
            labels,
            f"Figures: {notes['figures']}" if "figures" in notes else "",
            f"Run: {notes['run_url']}" if "run_url" in notes else "",
            f"What to do: {notes['runbook_url']}",
        ]
        return "\n".join(line for line in lines if line)


class _Seen:
    """Finds the kind of a failure in Apprise's log, and keeps nothing else of it."""

    def __init__(self) -> None:
        self.reason = "it could not be reached, or refused it"

    def __call__(self, entry: "NotifyLogEntry", _service: object) -> None:
        found = _HTTP_STATUS.search(str(entry.message))
        if found:
            self.reason = f"HTTP {found[1]}"


def quiet_apprise() -> None:
    """Keep addresses out of logs: Apprise's log may quote them, and urllib3's log their paths."""
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    logger = logging.getLogger("apprise")
    logger.propagate = False
    if not logger.handlers:  # without one, Python would write to stderr
        logger.addHandler(logging.NullHandler())
