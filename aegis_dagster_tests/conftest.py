"""What holds for every test: neither settings nor keys of the caller's shell reach it. And servers they share."""

import os

import pytest

from aegis_dagster_tests.support.machine import slowness
from aegis_dagster_tests.support.servers.neo4j import neo4j
from aegis_dagster_tests.support.servers.postgres import empty_url, postgres
from aegis_dagster_tests.support.servers.prometheus import pushgateway
from aegis_dagster_tests.support.servers.s3 import s3_server
from aegis_dagster_tests.support.servers.webhook import webhook

__all__ = ["empty_url", "neo4j", "postgres", "pushgateway", "s3_server", "webhook"]


def pytest_report_header() -> str:
    """What limits in seconds are multiplied with at this moment."""
    return f"machine: {slowness():.2f} times the usual time"


@pytest.fixture(autouse=True)
def no_settings_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove AEGIS_*, AWS_*, DAGSTER_HOME and what makes a provider of models configured from the environment.

    The credentials that S3 clients look for are set, so that none goes looking for others.
    """
    providers = {"OLLAMA_HOST", "DASHSCOPE_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"}
    for name in list(os.environ):
        if name.startswith(("AEGIS_", "AWS_")) or name == "DAGSTER_HOME" or name in providers:
            monkeypatch.delenv(name)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
