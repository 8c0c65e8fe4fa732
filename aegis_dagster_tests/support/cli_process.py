"""The command `aegis` as a user runs it: in its own process."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        values: dict[str, Any] = json.loads(self.stdout)
        return values


@dataclass(frozen=True, slots=True)
class Aegis:
    """`aegis` with a home of its own."""

    home: Path
    root: str | Path | None = None

    def environment(self) -> dict[str, str]:
        values = {name: value for name, value in os.environ.items() if not name.startswith(("AEGIS_", "DAGSTER_"))}
        values |= {"AEGIS_HOME": str(self.home), "AEGIS_LISTING__SETTLE_SECONDS": "0", "COLUMNS": "200"}
        return values | ({"AEGIS_ROOT": str(self.root)} if self.root else {})

    def command(self, *arguments: str | Path) -> list[str]:
        return [str(Path(sys.executable).parent / "aegis"), *map(str, arguments)]

    def __call__(self, *arguments: str | Path, cwd: Path | None = None, **settings: str) -> Answer:
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment() | settings,
            cwd=cwd or self.home.parent,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path, **settings: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment() | settings,
            cwd=self.home.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
