"""What holds for every test: neither settings nor keys of the caller's shell reach it. And servers they share."""

import os

import pytest

from aegis_dagster_tests.servers.neo4j import neo4j
from aegis_dagster_tests.servers.postgres import postgres
from aegis_dagster_tests.servers.prometheus import pushgateway
from aegis_dagster_tests.servers.webhook import webhook

__all__ = ["neo4j", "postgres", "pushgateway", "webhook"]


@pytest.fixture(autouse=True)
def no_settings_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove AEGIS_*, DAGSTER_HOME and what makes a provider of models configured from the environment."""
    providers = {"OLLAMA_HOST", "DASHSCOPE_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"}
    for name in list(os.environ):
        if name.startswith("AEGIS_") or name == "DAGSTER_HOME" or name in providers:
            monkeypatch.delenv(name)
