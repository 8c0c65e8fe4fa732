"""Which channels people are told through.

Belongs here: building them from addresses. Does not belong here: settings and environment (`settings.py`).
"""

from collections.abc import Sequence

from aegis_dagster.monitoring.alertmanager import AlertmanagerChannel
from aegis_dagster.monitoring.apprise_channel import AppriseChannel
from aegis_dagster.ports import Clock, PageChannel

HOW_TO = (
    "set `alerts.alertmanager` in aegis.yaml (AEGIS_ALERTS__ALERTMANAGER=http://127.0.0.1:9093), or put Apprise "
    "addresses into the variable AEGIS_NOTIFY, e.g. mailtos://USER:PASSWORD@HOST; then `aegis alerts test`."
)


def channels_of(
    alertmanager: str | None, addresses: Sequence[str], *, dagster_url: str, seconds: float, clock: Clock
) -> list[PageChannel]:
    """The channels, each once. alertmanager: its root. addresses: of Apprise. seconds: between two looks."""
    found: list[PageChannel] = []
    if alertmanager:
        found.append(AlertmanagerChannel(alertmanager, dagster_url=dagster_url, stands_seconds=seconds, clock=clock))
    found += [AppriseChannel(address, dagster_url=dagster_url) for address in dict.fromkeys(addresses)]
    return found


def check_addresses(channels: Sequence[PageChannel]) -> None:
    """Whether every address can be understood; nobody is asked. Raises NotDelivered."""
    for channel in channels:
        if isinstance(channel, AppriseChannel):
            channel.service()
