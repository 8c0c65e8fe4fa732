"""The command `aegis metrics`: its formats, its pages, how it begins and ends, and when it reads."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from itertools import pairwise
from pathlib import Path
from urllib.error import HTTPError

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aegis_dagster.errors import ConfigurationError, ServiceError
from aegis_dagster.monitoring.metrics.definitions import METRICS, Source
from aegis_dagster.monitoring.metrics.exporter import MOST_REST_SECONDS, RESTS_PER_READING, Exporter, Reader
from aegis_dagster.monitoring.metrics.samples import Samples
from aegis_dagster.monitoring.metrics.server import MetricsServer
from aegis_dagster.stores.database import open_database
from aegis_dagster_tests.support.cli_process import Aegis
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.monitored_homes import make_exporter, make_settings
from aegis_dagster_tests.support.scraping import OPENMETRICS, exporter_process, fetch, scrape, served
from aegis_dagster_tests.support.waiting import until


def empty_home(folder: Path) -> Aegis:
    """`aegis` over a home whose database is there: the exporter makes none."""
    open_database(f"sqlite:///{folder / 'home' / 'aegis.db'}").dispose()
    return Aegis(folder / "home")


def test_the_command_serves_both_formats_and_leads_there(tmp_path: Path) -> None:
    aegis = empty_home(tmp_path)
    with exporter_process(aegis.environment()) as url:
        text, openmetrics = scrape(url), scrape(url, openmetrics=True)
        assert url.startswith("http://127.0.0.1:")
        assert set(text.up().values()) == {1}
        assert openmetrics.text.endswith("# EOF\n")
        assert text.names() == openmetrics.names()
        assert '<a href="/metrics">' in fetch(url.removesuffix("metrics"))
        with pytest.raises(HTTPError, match="404"):
            fetch(url.removesuffix("metrics") + "else")
        request = urllib.request.Request(url, headers={"Accept": OPENMETRICS})
        with urllib.request.urlopen(request, timeout=200) as response:
            assert response.headers["Content-Type"].startswith("application/openmetrics-text")
        only = fetch(f"{url}?name[]=aegis_points_expected", "text/plain")
        assert [family.name for family in text_string_to_metric_families(only)] == ["aegis_points_expected"]
        again = aegis("metrics", "--port", url.rpartition(":")[2].removesuffix("/metrics"))
        assert again.code == 2
        assert "metrics.port" in again.stderr
    made = {file.name.removesuffix("-wal").removesuffix("-shm") for file in (tmp_path / "home").iterdir()}
    assert made == {"aegis.db"}  # no Dagster instance, no vector store


def test_it_prints_once_and_ends_and_each_family_is_in_the_table(tmp_path: Path) -> None:
    done = empty_home(tmp_path)("metrics", "--once")
    assert done.code == 0
    families = list(text_string_to_metric_families(done.stdout))
    known = {metric.family: metric for metric in METRICS}
    assert len(families) >= 12
    for family in families:
        metric = known[family.name]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        assert labels <= set(metric.labels)


def test_ctrl_c_ends_it_at_once_without_a_traceback(tmp_path: Path) -> None:
    aegis = empty_home(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", "from aegis_dagster.cli import main; main()", "metrics", "--port", "0"],
        env=aegis.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("Serving metrics at ").strip()
        assert scrape(url).up()["ledger"] == 1
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=200)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_port_that_is_taken_says_what_to_do(tmp_path: Path) -> None:
    exporter = make_exporter(make_settings(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigurationError, match="--port"):
            MetricsServer(exporter, "127.0.0.1", taken.getsockname()[1])


def entities(value: int) -> Samples:
    samples = Samples()
    samples.add("graph_entities_count", value=value)
    return samples


class Counted:
    """A source that counts how often it is read, and may take its time."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.readings = 0
        self.took: list[tuple[float, float]] = []  # from when to when
        self._seconds = seconds

    def read(self) -> Samples:
        self.readings += 1
        began = time.monotonic()
        time.sleep(self._seconds)
        self.took.append((began, time.monotonic()))
        return entities(self.readings)


def exporter_of(source: Counted, *, refresh_seconds: float, clock: SetClock | None = None) -> Exporter:
    readers = [Reader(Source.EVIDENCE, source.read)]
    return Exporter(readers, clock or SetClock(), refresh_seconds=refresh_seconds, version="1")


def test_the_first_scrape_waits_for_the_first_reading_and_the_next_ones_show_it() -> None:
    source = Counted(seconds=0.5)
    clock = SetClock()
    with served(exporter_of(source, refresh_seconds=3600, clock=clock), background=True) as url:
        assert scrape(url).value("graph_entities_count") == 1
        clock.move(90)
        again = scrape(url)
    assert again.value("graph_entities_count") == 1
    assert again.value("aegis_source_age_seconds", source="evidence") == 90
    took = again.value("aegis_source_read_seconds", source="evidence")
    assert took is not None and took >= 0.5
    assert source.readings == 1


def test_what_is_shown_is_as_old_as_the_beginning_of_its_reading() -> None:
    clock = SetClock()

    class Slow(Counted):
        def read(self) -> Samples:
            clock.move(20)
            return super().read()

    exporter = exporter_of(Slow(), refresh_seconds=3600, clock=clock)
    exporter.refresh()
    with served(exporter) as url:
        assert scrape(url).value("aegis_source_age_seconds", source="evidence") == 20


def test_the_background_reads_a_tenth_of_the_time_at_most() -> None:
    source = Counted(seconds=0.1)
    exporter = exporter_of(source, refresh_seconds=0.01)
    exporter.start()
    until(lambda: len(source.took) >= 4)
    exporter.stop()
    _, *readings = source.took  # after the first, which also opens and imports, there is no rest
    for (began, ended), (next_began, _) in pairwise(readings):
        assert next_began - ended >= min(RESTS_PER_READING * (ended - began), MOST_REST_SECONDS)


def test_a_source_that_was_never_read_is_down_and_not_0() -> None:
    stuck = threading.Event()

    class Stuck(Counted):
        def read(self) -> Samples:
            stuck.wait(600)
            raise ServiceError("stuck", remedy="none")

    exporter = exporter_of(Stuck(), refresh_seconds=1)
    exporter.start()
    try:
        with served(exporter) as url:
            found = scrape(url)
            assert not stuck.is_set()
        assert found.up() == {"evidence": 0}
        assert found.values("graph_entities_count") == {}
    finally:
        exporter.stop()
        stuck.set()
