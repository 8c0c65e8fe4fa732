"""Runs `aegis` in this process: milliseconds instead of a second, for tests that need no process of its own."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from aegis_dagster.cli.app import app


class InProcess:
    """`aegis` with a home of its own; its aegis.yaml is beside the home."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AEGIS_HOME", str(home))
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.chdir(home.parent)

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, arguments)

    def json(self, *arguments: str) -> dict[str, Any]:
        """The one JSON object that a successful command prints."""
        done = self(*arguments, "--json")
        assert done.exit_code == 0, done.stderr
        values: dict[str, Any] = json.loads(done.stdout)
        return values

    def refusal(self, *arguments: str) -> dict[str, str]:
        """The error of a command that ends with the exit code for "must be fixed"."""
        done = self(*arguments, "--json")
        assert done.exit_code == 2, done.stdout
        error: dict[str, str] = json.loads(done.stdout)["error"]
        return error
