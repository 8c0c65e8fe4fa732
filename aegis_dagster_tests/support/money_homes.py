"""Homes with an aegis.yaml whose providers are the scripted server."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from aegis_dagster.composition.project import Project
from aegis_dagster.settings import load_settings
from aegis_dagster_tests.support.llm_server import LLMServer
from aegis_dagster_tests.support.warm_processes import WarmParent, WarmProcess

PAID = "dashscope"
MODEL = "scripted"
# USD per million tokens. Primes, so that no two mistakes cancel each other.
PRICE = {"input": "0.37", "cached": "0.11", "output": "1.93", "reasoning": "2.57"}


@dataclass(frozen=True, slots=True)
class Home:
    """A home, its root and its aegis.yaml."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def config(self) -> Path:
        return self.folder / "aegis.yaml"

    @property
    def database(self) -> Path:
        return self.folder / "home" / "aegis.db"

    def environment(self) -> dict[str, str]:
        """For a process that works on this home."""
        own = ("AEGIS_", "DAGSTER_", "OPENAI_", "DASHSCOPE_", "OLLAMA_")
        values = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        return values | {
            "AEGIS_HOME": str(self.folder / "home"),
            "AEGIS_ROOT": str(self.root),
            "AEGIS_CONFIG": str(self.config),
            "AEGIS_LISTING__SETTLE_SECONDS": "0",
            "DASHSCOPE_API_KEY": "sk-secret-of-the-test",
            "COLUMNS": "200",
        }

    def project(self) -> Project:
        """The project, in this process. The caller has set the environment."""
        return Project(load_settings())

    def start(self, parent: WarmParent, *arguments: str) -> WarmProcess:
        """A process that works on this home."""
        return parent.start(arguments, self.environment())

    def aegis(self, *arguments: str) -> dict[str, Any]:
        """What a command of `aegis` prints as JSON; it must succeed."""
        command = [str(Path(sys.executable).parent / "aegis"), *arguments, "--json"]
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=250, check=False)
        assert done.returncode == 0, done.stderr
        values: dict[str, Any] = json.loads(done.stdout)
        return values


def make_home(
    folder: Path, server: LLMServer, *, limit_usd: str, provider: Mapping[str, Any] | None = None, **llm: Any
) -> Home:
    """A home whose only tier is the scripted server, paid, with all tasks on one model.

    provider: fields of the provider that differ; llm: fields of the section.
    """
    tasks = ["image_description", "entity_extraction", "summary"]
    values = {
        "llm": {
            "tiers": [PAID],
            "providers": {
                PAID: {
                    "base_url": server.v1,
                    "models": {MODEL: {"tasks": tasks}},
                    **(provider or {}),
                }
            },
            "prices": {f"{PAID}/{MODEL}": PRICE},
            "budgets": {"providers": {PAID: limit_usd}},
            **llm,
        }
    }
    home = Home(folder)
    home.root.mkdir(parents=True, exist_ok=True)
    home.config.write_text(yaml.safe_dump(values), "utf-8")
    return home


def finished(processes: Sequence[WarmProcess]) -> list[dict[str, Any]]:
    """The output of the processes; all must succeed."""
    return [process.answer() for process in processes]
