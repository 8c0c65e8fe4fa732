"""Measures what very many documents cost beside their parsing and their model: catalog, artifacts and vectors.

    .venv/bin/python -m scripts.benchmark_scale [DOCUMENTS [PASSAGES]]

20,000 documents with 10 passages each unless told otherwise. Results of parse and chunk are written ready-made, and
the embedder answers at once: what remains is ours. Prints the CPU time, statements, commits and memory of each phase,
and of each thousand documents at each stage: they should not grow.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import sqlalchemy as sa

from aegis_dagster.composition.damage import reset_lost_points
from aegis_dagster.composition.project import Project
from aegis_dagster.defs.automation.watched_folder_sensor import Rest, look
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import Document, Stage
from aegis_dagster.progress import Silent
from aegis_dagster.settings import load_settings
from aegis_dagster.stages.cleanup import sweep_artifacts, tidy_up
from aegis_dagster.stages.registry import STAGES
from aegis_dagster.stages.sync import update_listing
from aegis_dagster_tests.support.dagster_instance import quick_instance
from aegis_dagster_tests.support.ready_made import Instant, ReadyMade

FOLDER = 500  # files
PART = 1000  # documents between two lines about a stage


class Meter:
    """Prints what a phase took, and each thousand documents of a stage. Implements `Progress`."""

    def __init__(self) -> None:
        self.statements = self.commits = 0
        self._done, self._cpu = 0, time.process_time()
        sa.event.listen(sa.Engine, "before_cursor_execute", self._executed)
        sa.event.listen(sa.Engine, "commit", self._committed)

    def start(self, label: str, total: int) -> None:
        if label in tuple(Stage):
            self._done, self._cpu = 0, time.process_time()

    def advance(self, label: str, done: int = 1) -> None:
        if label not in tuple(Stage):
            return
        before, self._done = self._done, self._done + done
        if before // PART < self._done // PART:
            now = time.process_time()
            print(f"    {label:7} {self._done:7} {now - self._cpu:7.2f} CPU-s {_megabytes():6.0f} MB", flush=True)
            self._cpu = now

    def finish(self, label: str) -> None: ...

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Print what the block took."""
        statements, commits, cpu, began = self.statements, self.commits, time.process_time(), time.perf_counter()
        yield
        took, wall = time.process_time() - cpu, time.perf_counter() - began
        asked = f"{self.statements - statements:7} statements {self.commits - commits:6} commits"
        print(f"{name:28} {wall:7.2f} s {took:7.2f} CPU-s {asked} {_megabytes():6.0f} MB", flush=True)

    def _executed(self, *_: object) -> None:
        self.statements += 1

    def _committed(self, *_: object) -> None:
        self.commits += 1


def _megabytes() -> float:
    """Without what is mapped from the disk, which the system takes back when it needs room."""
    memory = psutil.Process().memory_info()
    return float(memory.rss - memory.shared) / 2**20


def open_project(passages: int) -> Project:
    return Project(load_settings(), tasks=ReadyMade(passages))


def write_files(root: Path, count: int) -> list[Path]:
    files = [root / f"{number // FOLDER:04}" / f"{number:06}.txt" for number in range(count)]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"Document {file.name}.")
    return files


async def ingest(project: Project, meter: Meter, name: str) -> None:
    """What `aegis ingest` does, without a Dagster run."""
    with meter.phase(f"{name}: listing"):
        update_listing(project.source, project.documents, project.guard(confirmed=True))
        reset_lost_points(project, Silent())
    async with project.workbench(meter) as bench:
        size = project.settings.embed.window_chunks
        instant = Instant(bench.embedder.model, bench.embedder.dimensions, min(64, size))
        bench = replace(bench, embedder=instant)
        with meter.phase(f"{name}: deleted"):
            if project.documents.deleted() or not project.vectors.exists():
                await tidy_up(project.documents, bench)
        with meter.phase(f"{name}: stale"):
            documents = project.documents.within("")
            stale: Sequence[Document] = project.reports.stale(project.artifacts.listed(), documents)
        for stage in Stage if stale else ():
            with meter.phase(f"{name}: {stage}"):
                await STAGES[stage](documents, bench)
        with meter.phase(f"{name}: sweep"):
            sweep_artifacts(project.catalog, project.artifacts)


def looks(folder: Path, meter: Meter, passages: int) -> None:
    """Two looks of the sensor: the first one compares, the second finds that nothing has happened since."""
    rest = Rest()
    (folder / "dagster").mkdir()
    with quick_instance(folder / "dagster") as instance:
        for name in ("look: first", "look: again"):
            with meter.phase(name):
                plan, rest, _ = look(instance, open_project(passages), lambda line: None, rest, read_seconds=8)
            assert not plan.requests, plan.requests


def each_eighth(files: Sequence[Path], place: int, change: Callable[[Path], object]) -> None:
    for file in files[place::8]:
        change(file)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    passages = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    with tempfile.TemporaryDirectory(prefix="aegis_scale_") as name:
        folder, meter = Path(name), Meter()
        settings = {"home": f"{name}/home", "root": f"{name}/root", "listing": {"settle_seconds": 0}}
        off = {f"{number:04}": {"graph": False} for number in range(count // FOLDER + 1)}
        (folder / "aegis.yaml").write_text(json.dumps(settings | {"collections": off}))
        os.environ |= {"AEGIS_CONFIG": f"{name}/aegis.yaml"}
        os.chdir(folder)
        files = write_files(folder / "root", count)
        asyncio.run(ingest(open_project(passages), meter, "cold"))
        asyncio.run(ingest(open_project(passages), meter, "nothing"))
        looks(folder, meter, passages)
        each_eighth(files, 3, lambda file: file.write_text(f"Edited {file.name}."))
        asyncio.run(ingest(open_project(passages), meter, "edited"))
        each_eighth(files, 5, Path.unlink)
        asyncio.run(ingest(open_project(passages), meter, "deleted"))
        expected = (count - len(files[5::8])) * passages
        assert open_project(passages).vectors.count() == expected
        assert DocumentId("0000/000005.txt") not in open_project(passages).documents.known()


if __name__ == "__main__":
    main()
