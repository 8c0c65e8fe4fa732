"""What holds for every test: neither settings nor keys of the caller's shell reach it. And servers they share."""

import faulthandler
import os
from collections.abc import Iterator

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key

from aegis_dagster_tests.support.heaviness import is_heavy, is_slow
from aegis_dagster_tests.support.llm_server.fixtures import running, server
from aegis_dagster_tests.support.places import REPOSITORY
from aegis_dagster_tests.support.qdrant_server.running import qdrant_process, qdrant_server
from aegis_dagster_tests.support.servers.docker import docker_with_gpus, own_docker
from aegis_dagster_tests.support.servers.neo4j import neo4j
from aegis_dagster_tests.support.servers.postgres import empty_url, new_tables, own_postgres, postgres, tables_url
from aegis_dagster_tests.support.servers.prometheus import pushgateway
from aegis_dagster_tests.support.servers.ray import own_ray, ray_of_the_run, shared_ray
from aegis_dagster_tests.support.servers.s3 import s3_server
from aegis_dagster_tests.support.servers.shared import end_servers
from aegis_dagster_tests.support.servers.webhook import webhook

_TEARDOWN_SECONDS = 300
# Processes that tests start in other folders import modules of the tests.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))

__all__ = [
    "docker_with_gpus",
    "empty_url",
    "neo4j",
    "new_tables",
    "own_docker",
    "own_postgres",
    "own_ray",
    "postgres",
    "pushgateway",
    "qdrant_process",
    "qdrant_server",
    "ray_of_the_run",
    "running",
    "s3_server",
    "server",
    "shared_ray",
    "tables_url",
    "webhook",
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is heavy, and let the longest files come first: at the end there is little to wait for.

    Files stay together, so that what a module sets up is set up once.
    """
    for item in items:
        if is_heavy(item):
            item.add_marker("heavy")
    slow = {item.path for item in items if is_slow(item)}
    heavy = {item.path for item in items if item.get_closest_marker("heavy")}
    items.sort(key=lambda item: (item.path not in slow, item.path not in heavy))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """End the process of a test that hangs in its teardown, and print where: xdist then reports it and goes on.

    pytest's own time limits end when a test has failed. An event loop that waits for a task of it has no other.
    """
    faulthandler.dump_traceback_later(_TEARDOWN_SECONDS, exit=True, file=item.config.stash[fault_handler_stderr_fd_key])
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """End the servers of the run that this process has started."""
    end_servers()


@pytest.fixture(autouse=True)
def no_settings_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove AEGIS_*, AWS_*, DAGSTER_HOME and what makes a provider of models configured from the environment.

    The credentials that S3 clients look for are set, so that none goes looking for others.
    """
    providers = {"OLLAMA_HOST", "DASHSCOPE_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL", "DOCLING_SERVE_API_KEY"}
    for name in list(os.environ):
        if name.startswith(("AEGIS_", "AWS_")) or name == "DAGSTER_HOME" or name in providers:
            monkeypatch.delenv(name)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
