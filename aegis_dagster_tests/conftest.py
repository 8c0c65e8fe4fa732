"""What holds for every test: neither settings nor keys of the caller's shell reach it."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_settings_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove AEGIS_*, DAGSTER_HOME and what makes a provider of models configured from the environment."""
    providers = {"OLLAMA_HOST", "DASHSCOPE_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"}
    for name in list(os.environ):
        if name.startswith("AEGIS_") or name == "DAGSTER_HOME" or name in providers:
            monkeypatch.delenv(name)
