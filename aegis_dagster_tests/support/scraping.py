"""Starting the exporter for a home in a process of its own, and reading what it serves."""

import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from prometheus_client import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from aegis_dagster.monitoring.metrics.exporter import Exporter
from aegis_dagster.monitoring.metrics.server import MetricsServer

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
_ANNOUNCED = "Serving metrics at "


@dataclass(frozen=True, slots=True)
class Scrape:
    """The result of one scrape."""

    families: tuple[Family, ...]
    text: str

    def value(self, name: str, **labels: str) -> float | None:
        """The sample with exactly these labels; None: there is none."""
        return self.values(name).get(tuple(sorted(labels.items())))

    def values(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Every sample of a name, by its sorted labels."""
        return {
            tuple(sorted(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == name
        }

    def counters(self) -> dict[tuple[object, ...], float]:
        """Every sample that must never go down, by name and labels: counters, and parts of histograms."""
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in self.families
            if family.type in ("counter", "histogram")
            for sample in family.samples
        }

    def names(self) -> set[str]:
        """Names of all samples."""
        return {sample.name for family in self.families for sample in family.samples}

    def labels(self) -> set[tuple[str, str]]:
        """Every label and value there is."""
        samples = (sample for family in self.families for sample in family.samples)
        return {label for sample in samples for label in sample.labels.items()}

    def series(self) -> int:
        """How many samples there are."""
        return sum(len(family.samples) for family in self.families)

    def up(self) -> dict[str, float]:
        """Whether each source is up."""
        return {dict(labels)["source"]: value for labels, value in self.values("aegis_source_up").items()}


def scrape(url: str, *, openmetrics: bool = False, timeout: float = 200) -> Scrape:
    """Read an exporter once, as Prometheus does."""
    text = fetch(url, OPENMETRICS if openmetrics else "text/plain", timeout=timeout)
    return Scrape(tuple((parse_openmetrics if openmetrics else parse_text)(text)), text)


def fetch(url: str, accept: str = "*/*", *, timeout: float = 200) -> str:
    """The content at an address; raises HTTPError."""
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=timeout) as response:
        body: bytes = response.read()
    return body.decode("utf-8")


@contextmanager
def exporter_process(environment: Mapping[str, str]) -> Iterator[str]:
    """`aegis metrics` in a process; the address that it serves at. It is killed at the end."""
    command = [str(Path(sys.executable).parent / "aegis"), "metrics", "--port", "0"]
    with TemporaryFile("w+") as errors:  # a pipe that nobody reads would fill, and hold the exporter up
        process = subprocess.Popen(command, env=dict(environment), stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith(_ANNOUNCED):
                process.wait(timeout=200)
                errors.seek(0)
                raise AssertionError(f"the exporter said {line!r}: {errors.read()}")
            yield line.removeprefix(_ANNOUNCED).strip()
        finally:
            process.kill()
            process.communicate()


@contextmanager
def served(exporter: Exporter, *, background: bool = False) -> Iterator[str]:
    """An exporter served over HTTP in this process. background: let it read by itself; else `refresh` reads."""
    server = MetricsServer(exporter, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    if background:
        exporter.start()
    try:
        yield server.url
    finally:
        if background:
            exporter.stop()
        server.close()
        thread.join()
