"""Samples of metrics on their way from a source to prometheus_client."""

from collections.abc import Sequence
from decimal import Decimal

from prometheus_client import Metric as Family
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from aegis_dagster.monitoring.metrics.definitions import Kind, metric

Buckets = Sequence[tuple[str, int]]  # upper bound in seconds, "+Inf" last, and how many up to it


class Samples:
    """Values by metric and labels, in the order of their first use."""

    def __init__(self) -> None:
        self._values: dict[str, dict[tuple[str, ...], Decimal]] = {}  # so that sums of money stay exact
        self._histograms: dict[str, dict[tuple[str, ...], tuple[Buckets, float]]] = {}

    def add(self, name: str, *labels: str, value: int | float | Decimal = 0) -> None:
        """Add to a sample; without a value it exists and is 0. Raises ValueError for wrong labels."""
        key = _key(name, labels)
        values = self._values.setdefault(name, {})
        values[key] = values.get(key, Decimal(0)) + Decimal(value)

    def histogram(self, name: str, *labels: str, buckets: Buckets, total: float) -> None:
        """Set a histogram: cumulative buckets, and the sum of the observations."""
        self._histograms.setdefault(name, {})[_key(name, labels)] = (buckets, total)

    def families(self) -> list[Family]:
        """All metrics as families of the library."""
        return [*map(self._family, self._values), *map(self._histogram_family, self._histograms)]

    def _family(self, name: str) -> Family:
        described = metric(name)
        kind = CounterMetricFamily if described.kind is Kind.COUNTER else GaugeMetricFamily
        family = kind(described.family, described.help, labels=described.labels)
        for labels, value in self._values[name].items():
            family.add_metric(labels, float(value))
        return family

    def _histogram_family(self, name: str) -> Family:
        described = metric(name)
        family = HistogramMetricFamily(described.family, described.help, labels=described.labels)
        for labels, (buckets, total) in self._histograms[name].items():
            bounds = [(_bound(upper), float(count)) for upper, count in buckets]
            family.add_metric(labels, bounds, total)
        return family


def _key(name: str, labels: Sequence[str]) -> tuple[str, ...]:
    if len(labels) != len(metric(name).labels):
        raise ValueError(f"{name} has the labels {metric(name).labels}, not {len(labels)} of them")
    # A folder's name may contain bytes that are not text; an exposition is UTF-8.
    return tuple(label.encode("utf-8", "replace").decode("utf-8") for label in labels)


def _bound(upper: str) -> str:
    """A number in OpenMetrics' form: "1.0", not "1"."""
    return upper if upper == "+Inf" else str(float(upper))
