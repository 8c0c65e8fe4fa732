"""Metrics of paging: what fires, and what people have not been told yet.

Belongs here: the counts of the pager's tables as metrics. Does not belong here: paging (`paging.py`), counting
(`stores/alerts.py`).
"""

from aegis_dagster.monitoring.families import Samples
from aegis_dagster.stores.alerts import Alerts


def alert_samples(alerts: Alerts) -> Samples:
    """Alerts by severity and undelivered messages by channel. Raises ServiceError."""
    samples = Samples()
    for severity, count in alerts.firing_by_severity().items():
        samples.add("aegis_alerts_firing", severity, value=count)
    for channel, count in alerts.waiting_by_channel().items():
        samples.add("aegis_pages_waiting", channel, value=count)
    return samples
