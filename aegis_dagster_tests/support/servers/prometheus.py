"""The real Prometheus, Alertmanager and Pushgateway for tests: own folders, free ports of loopback."""

import base64
import json
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from aegis_dagster_tests.support.servers.programs import Program, free_port, needs

PACKAGES = ("prometheus", "prometheus-alertmanager", "prometheus-pushgateway")

Served = TypeVar("Served", bound=Program)


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an answer, and its newest value."""

    labels: Mapping[str, str]
    value: float


class Prometheus(Program):
    """A running Prometheus."""

    def query(self, expression: str, *, at: float | None = None) -> list[Sample]:
        """What an expression gives. Raises ValueError when it is not understood.

        at: seconds since 1970-01-01 UTC; None: now.
        """
        answer = self._api("query", query=expression, **({} if at is None else {"time": repr(at)}))
        if answer["resultType"] == "scalar":
            return [Sample({}, float(answer["result"][1]))]
        return [Sample(one["metric"], float(one["value"][1])) for one in answer["result"]]

    def over(self, expression: str, start: float, end: float, *, step: float = 1.0) -> list[Sample]:
        """What an expression gave from start to end, every `step` seconds: a sample for each series and time.

        Times: seconds since 1970-01-01 UTC. Raises ValueError when it is not understood.
        """
        answer = self._api("query_range", query=expression, start=repr(start), end=repr(end), step=repr(step))
        return [Sample(one["metric"], float(value)) for one in answer["result"] for _, value in one["values"]]

    def rules(self) -> list[dict[str, Any]]:
        """Its rules: name, query, health, lastError."""
        return [rule for group in self._api("rules")["groups"] for rule in group["rules"]]

    def wait_for(
        self, expression: str, met: Callable[[list[Sample]], bool] = bool, *, seconds: float = 240.0
    ) -> list[Sample]:
        """The first answer that is as wanted: by default, not empty. Raises TimeoutError with the last answer."""
        end = time.monotonic() + seconds
        while True:
            found = self.query(expression)
            if met(found):
                return found
            if time.monotonic() > end:
                raise TimeoutError(f"{expression} gave {found} for {seconds:.0f} s")
            time.sleep(0.2)

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are pending or firing."""
        found: list[dict[str, Any]] = self._api("alerts")["alerts"]
        return found

    def _api(self, name: str, **values: str) -> dict[str, Any]:
        try:
            answer = _json(f"{self.url}/api/v1/{name}?{urllib.parse.urlencode(values)}")
        except urllib.error.HTTPError as error:
            raise ValueError(f"{values}: {error.read().decode('utf-8', 'replace')[:500]}") from error
        data: dict[str, Any] = answer["data"]
        return data


class Alertmanager(Program):
    """A running Alertmanager."""

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts it holds: labels, annotations, status, receivers."""
        found: list[dict[str, Any]] = _json(f"{self.url}/api/v2/alerts")
        return found


class Pushgateway(Program):
    """A running Pushgateway."""

    def push(self, group: Mapping[str, str], text: str) -> None:
        """Replace a group's series. group: labels that name it, `job` first; text: the exposition format."""
        path = "/".join(_group_label(name, value) for name, value in group.items())
        request = urllib.request.Request(f"{self.url}/metrics/{path}", data=text.encode(), method="PUT")
        with urllib.request.urlopen(request, timeout=10):
            pass

    def text(self) -> str:
        """Everything it holds, as Prometheus reads it."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as response:
            return str(response.read().decode("utf-8"))


@contextmanager
def prometheus_server(
    targets: Mapping[str, str],
    *,
    rules: Sequence[Path] = (),
    alertmanager: str | None = None,
    seconds: float = 1.0,
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes and evaluates once in so many seconds; the first scrape comes after 5 s.

    targets: URL by job; labels of the targets are honoured. rules: rule files. alertmanager: its URL.
    """
    needs(PACKAGES, "prometheus")
    with tempfile.TemporaryDirectory(prefix="aegis_prom_") as name:
        folder, port = Path(name), free_port()
        config = folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(_prometheus_config(targets, rules, alertmanager, seconds)), "utf-8")
        command = [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
        yield from _served(Prometheus(command, port, folder / "log", ready="/-/ready"))


@contextmanager
def alertmanager_server(config: Mapping[str, Any]) -> Iterator[Alertmanager]:
    """An Alertmanager with this configuration, alone (no cluster). `webhook_config` makes a small one."""
    needs(PACKAGES, "prometheus-alertmanager")
    with tempfile.TemporaryDirectory(prefix="aegis_am_") as name:
        folder, port = Path(name), free_port()
        file = folder / "alertmanager.yml"
        file.write_text(yaml.safe_dump(dict(config)), "utf-8")
        command = [
            "prometheus-alertmanager",
            f"--config.file={file}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]
        yield from _served(Alertmanager(command, port, folder / "log", ready="/-/ready"))


@contextmanager
def pushgateway_server() -> Iterator[Pushgateway]:
    """An empty Pushgateway that keeps nothing on disk."""
    needs(PACKAGES, "prometheus-pushgateway")
    with tempfile.TemporaryDirectory(prefix="aegis_push_") as name:
        port = free_port()
        command = [
            "prometheus-pushgateway",
            f"--web.listen-address=127.0.0.1:{port}",
            "--persistence.file=",
            "--log.level=warn",
        ]
        yield from _served(Pushgateway(command, port, Path(name) / "log", ready="/-/ready"))


def webhook_config(url: str, *, group_by: Sequence[str] = ("...",), group_wait: str = "0s") -> dict[str, Any]:
    """A configuration of Alertmanager that sends each alert at once to one webhook, and its all-clear."""
    return {
        "route": {
            "receiver": "webhook",
            "group_by": list(group_by),
            "group_wait": group_wait,
            "group_interval": "1s",
            "repeat_interval": "4h",
        },
        "receivers": [{"name": "webhook", "webhook_configs": [{"url": url, "send_resolved": True}]}],
    }


def checked(*command: str | Path, cwd: Path | None = None) -> str:
    """What `promtool` or `amtool` print. Raises AssertionError with it when they do not agree."""
    needs(PACKAGES, str(command[0]))
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def pushgateway() -> Iterator[Pushgateway]:
    """A Pushgateway for one test."""
    with pushgateway_server() as server:
        yield server


def _prometheus_config(
    targets: Mapping[str, str], rules: Sequence[Path], alertmanager: str | None, seconds: float
) -> dict[str, Any]:
    every = f"{round(seconds * 1000)}ms"
    scrapes = [
        {"job_name": job, "honor_labels": True, "static_configs": [{"targets": [url.removeprefix("http://")]}]}
        for job, url in targets.items()
    ]
    config: dict[str, Any] = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": scrapes,
    }
    if alertmanager:
        hosts = [alertmanager.removeprefix("http://")]
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": hosts}]}]}
    return config


def _group_label(name: str, value: str) -> str:
    """A label in a path of the Pushgateway, which takes a slash in a value only in base64."""
    encoded = base64.urlsafe_b64encode(value.encode()).decode().rstrip("=") or "="
    return f"{name}@base64/{encoded}"


def _served(server: Served) -> Iterator[Served]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)
