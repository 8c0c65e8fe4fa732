"""What holds for every test: the settings of the caller's shell do not reach it."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_settings_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove AEGIS_* and DAGSTER_HOME from the environment."""
    for name in list(os.environ):
        if name.startswith("AEGIS_") or name == "DAGSTER_HOME":
            monkeypatch.delenv(name)
