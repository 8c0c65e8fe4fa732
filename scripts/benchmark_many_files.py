"""Measures the cost of a watched folder with very many files: its listing, the sensor's ticks, the nightly plan.

    .venv/bin/python -m scripts.benchmark_many_files [FILES]

100,000 empty files unless told otherwise, in a hundred collections. No run is needed: they are marked as done.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.automation.nightly_schedule import plan_night
from aegis_dagster.defs.automation.watched_folder_sensor import Rest, look
from aegis_dagster.settings import load_settings
from aegis_dagster_tests.support.bulk_rows import end_all_stages
from aegis_dagster_tests.support.dagster_instance import quick_instance

COLLECTIONS = 100


def measure(root: Path, folder: Path) -> None:
    with quick_instance(folder) as instance:

        def looked(what: str, rest: Rest) -> Rest:
            began = time.perf_counter()
            plan, rest, _ = look(instance, Project(load_settings()), lambda line: None, rest, read_seconds=8)
            seconds = time.perf_counter() - began
            print(f"look: {what:30} {seconds:6.1f} s, {len(plan.requests)} runs requested", flush=True)
            return rest

        project, files = Project(load_settings()), sum(1 for _ in root.rglob("*.txt"))
        while len(project.documents.known()) < files:
            looked("new files, 8 s to read them", Rest())
        began = time.perf_counter()
        project.source.scan(project.documents.known())
        print(f"listing of {files} known files            {time.perf_counter() - began:6.1f} s", flush=True)
        end_all_stages(project)
        began = time.perf_counter()
        plan_night(instance, project, lambda line: None, read_seconds=8)
        print(f"night without work                  {time.perf_counter() - began:6.1f} s", flush=True)
        rest = looked("all was done", Rest())
        rest = looked("nothing changed", rest)
        (root / "007" / "0000.txt").write_text("Something at last.")
        looked("one file changed", rest)
        os.environ["AEGIS_CHUNK__MAX_TOKENS"] = "200"
        looked("other settings", rest)


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {"AEGIS_HOME": f"{name}/home", "AEGIS_ROOT": f"{name}/root", "AEGIS_LISTING__SETTLE_SECONDS": "0"}
        for number in range(COLLECTIONS):
            (folder / "root" / f"{number:03}").mkdir(parents=True)
            for file in range(files // COLLECTIONS):
                (folder / "root" / f"{number:03}" / f"{file:04}.txt").touch()
        os.chdir(folder)
        measure(folder / "root", folder)


if __name__ == "__main__":
    main()
