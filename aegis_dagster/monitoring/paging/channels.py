"""The channels through which people are notified."""

from collections.abc import Sequence

from aegis_dagster.domain.alerts import Links
from aegis_dagster.monitoring.paging.alertmanager import AlertmanagerChannel
from aegis_dagster.monitoring.paging.apprise import AppriseChannel
from aegis_dagster.ports import Clock, PageChannel

HOW_TO = (
    "set `alerts.alertmanager` in aegis.yaml (AEGIS_ALERTS__ALERTMANAGER=http://127.0.0.1:9093), or put Apprise "
    "addresses into the variable AEGIS_NOTIFY, e.g. mailtos://USER:PASSWORD@HOST; then `aegis alerts test`."
)


def channels_of(
    alertmanager: str | None, addresses: Sequence[str], *, links: Links, stands_seconds: float, clock: Clock
) -> list[PageChannel]:
    """The channels, each once. alertmanager: its root. addresses: of Apprise.

    stands_seconds: how long a page stays in Alertmanager before its all-clear may follow.
    """
    found: list[PageChannel] = []
    if alertmanager:
        found.append(AlertmanagerChannel(alertmanager, links=links, stands_seconds=stands_seconds, clock=clock))
    found += [AppriseChannel(address, links=links) for address in dict.fromkeys(addresses)]
    return found


def check_addresses(channels: Sequence[PageChannel]) -> None:
    """Check that Apprise understands every address, without contacting any. Raises NotDelivered."""
    for channel in channels:
        if isinstance(channel, AppriseChannel):
            channel.service()
