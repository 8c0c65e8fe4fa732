"""Measures how long commands and the definitions take to start and answer, in seconds of CPU.

    .venv/bin/python -m scripts.benchmark_start

Uses a home of its own with four small documents. Prints the best of three; CPU time, so that other work on the machine
matters less.
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from aegis_dagster_tests.support.projects import write_documents

COMMANDS = (["status"], ["show", "loose.txt"], ["costs"], ["ingest"], ["search", "repairs"])
TRIES = 3


def cpu_seconds(arguments: list[str], environment: dict[str, str]) -> float:
    """The CPU seconds of a process with its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        write_documents(root, ["harbour/ant.txt", "harbour/bee.txt", "survey/ant.txt", "loose.txt"])
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AEGIS_")}
        environment |= {"AEGIS_HOME": f"{folder}/home", "AEGIS_ROOT": str(root), "AEGIS_LISTING__SETTLE_SECONDS": "0"}
        command = ["-c", "from aegis_dagster.cli import main; main()"]
        rows = {"aegis ingest, four new documents": cpu_seconds([*command, "ingest"], environment)}
        for arguments in COMMANDS:
            tries = [cpu_seconds([*command, *arguments], environment) for _ in range(TRIES)]
            rows[f"aegis {' '.join(arguments)}"] = min(tries)
        definitions = ["-c", "import aegis_dagster.definitions"]
        rows["import of the definitions"] = min(cpu_seconds(definitions, environment) for _ in range(TRIES))
    for what, seconds in rows.items():
        print(f"{what:34} {seconds:6.2f} s of CPU")


if __name__ == "__main__":
    main()
