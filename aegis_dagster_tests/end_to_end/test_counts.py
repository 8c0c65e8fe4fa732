"""What a run asks of the system, in counts that are the same on every machine: for each document, and for the run.

The tables hold upper bounds. A change that lowers a count lowers its bound: with a bound of 0 the test prints what it
has counted.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from aegis_dagster_tests.support.llm_server import LLMServer, scripted_server
from aegis_dagster_tests.support.projects import write_documents

FEW, MANY = 8, 24  # documents of four passages
Counts = dict[str, int]

OF_FEW: Mapping[str, Mapping[str, float]] = {
    "cold": {
        "statements": 430,
        "commits": 145,
        "Dagster's statements": 700,
        "Dagster's commits": 370,
        "processes": 10,
        "modules": 2180,
        "opened to write": 34,
        "files": 126,
        "calls": 1,
        "texts": 32,
    },
    "nothing": {"statements": 32, "commits": 15, "modules": 670},
    "changed": {
        "statements": 420,
        "commits": 150,
        "Dagster's statements": 530,
        "Dagster's commits": 320,
        "processes": 10,
        "modules": 2180,
        "opened to write": 24,
        "files": 68,
        "calls": 1,
        "texts": 2,
    },
}
# What one more document adds: not one statement of Dagster, no process, no module.
# Of few changed documents one worker, which opens two files, may do all.
OF_EACH_FURTHER: Mapping[str, Mapping[str, float]] = {
    "cold": {"statements": 2, "commits": 0.75, "opened to write": 2, "files": 8, "calls": 1 / 16, "texts": 4},
    "changed": {"statements": 2, "commits": 0.75, "opened to write": 10 / 16, "files": 2, "texts": 0.25},
}


class Home:
    """A home whose passages are embedded by the scripted server, and what its last command took."""

    def __init__(self, folder: Path, server: LLMServer, documents: int) -> None:
        folder.mkdir()
        self.folder, self.server = folder, server
        self.names = [f"reports/note-{number:02}.{'md' if number % 2 else 'txt'}" for number in range(documents)]
        write_documents(self.documents, self.names)
        models = {"small": {"tasks": ["embedding"], "dimensions": 8, "texts_per_call": 64}}
        access = {"base_url": server.v1, "api_key_variable": None, "local": True, "free": True, "enabled": True}
        settings = {
            "embed": {"model": "house/small"},
            "llm": {"tiers": ["house"], "providers": {"house": {**access, "models": models}}},
            "listing": {"settle_seconds": 0},
        }
        (folder / "aegis.yaml").write_text(json.dumps(settings), "utf-8")  # JSON is YAML

    @property
    def documents(self) -> Path:
        return self.folder / "root"

    def ingest(self) -> Counts:
        """The counts of one `aegis ingest`."""
        self.server.reset()
        own = {"AEGIS_CONFIG": "aegis.yaml", "AEGIS_HOME": "home", "AEGIS_ROOT": "root"}
        plain = {name: value for name, value in os.environ.items() if not name.startswith("COV")}  # it loads modules
        environment = {**plain, **{name: str(self.folder / value) for name, value in own.items()}}
        before = self._files()
        counts = self.folder / "counts.json"
        command = [sys.executable, "-m", "aegis_dagster_tests.support.counted_command", str(counts), "ingest", "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        records = self.server.records()
        counted: Counts = json.loads(counts.read_text("utf-8"))
        return counted | {
            "files": sum(before.get(path) != changed for path, changed in self._files().items()),
            "calls": len(records),
            "texts": sum(len(record.body["input"]) for record in records),
        }

    def _files(self) -> dict[Path, int]:
        """When each file of the home was changed, in nanoseconds."""
        home = self.folder / "home"
        return {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}


def cold_and_changed(home: Home, *, repeat: bool) -> dict[str, Counts]:
    """The counts of each phase. For `changed`, a quarter of the documents is edited and another deleted."""
    counts = {"cold": home.ingest()}
    if repeat:
        counts["nothing"] = home.ingest()
    for name in home.names[::4]:
        with (home.documents / name).open("a", encoding="utf-8") as file:
            file.write("\n\nThe new lamp was lit in spring.\n")
    for name in home.names[1::4]:
        (home.documents / name).unlink()
    return counts | {"changed": home.ingest()}


@pytest.mark.slow
def test_a_run_asks_no_more_of_the_system_than_the_table_says(tmp_path: Path) -> None:
    with scripted_server() as server:
        few, many = (Home(tmp_path / f"of_{count}", server, count) for count in (FEW, MANY))
        small, large = cold_and_changed(few, repeat=True), cold_and_changed(many, repeat=False)
    assert small["cold"]["texts"] == 4 * FEW and large["cold"]["texts"] == 4 * MANY  # every passage, once
    assert small["changed"]["texts"] == FEW // 4 and large["changed"]["texts"] == MANY // 4  # only what was added
    for_each = {phase: _for_each_document(small[phase], large[phase]) for phase in large}
    exceeded = _above(OF_FEW, small) + _above(OF_EACH_FURTHER, for_each)
    assert not exceeded, f"{exceeded}; counted: {json.dumps(small)}, for each further one {json.dumps(for_each)}"


def _for_each_document(small: Counts, large: Counts) -> dict[str, float]:
    return {name: (large[name] - small.get(name, 0)) / (MANY - FEW) for name in large}


def _above(table: Mapping[str, Mapping[str, float]], found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What exceeds the table, or is not in it. A count that the table leaves out must be 0."""
    return [
        f"{phase}, {name}: {count:g} instead of {table[phase].get(name, 0)}"
        for phase, counts in found.items()
        for name, count in counts.items()
        if count > table[phase].get(name, 0)
    ]
