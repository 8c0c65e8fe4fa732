"""Measures what a catalog of very many documents costs: a tick of the sensor with 1,000 changes, and a scrape.

    .venv/bin/python -m scripts.benchmark_catalog [DOCUMENTS [POSTGRES_URL]]

1,000,000 empty files in a hundred collections unless told otherwise, all of them done. POSTGRES_URL: an empty database,
into which the home is moved first, as `aegis move-home` does. Each measurement is a process of its own: its memory is
the peak of a process with Dagster in it.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import sqlalchemy as sa

from aegis_dagster.cli.moves import move_home
from aegis_dagster.composition.exporter import build_exporter
from aegis_dagster.composition.project import Project
from aegis_dagster.defs.automation.watched_folder_sensor import Rest, look
from aegis_dagster.domain.fingerprints import wanted_fingerprints
from aegis_dagster.domain.identifiers import DocumentId, Revision, text_hash
from aegis_dagster.domain.listing import SeenFile
from aegis_dagster.monitoring.metrics.other_sources import RunNumbers
from aegis_dagster.monitoring.metrics.server import exposition
from aegis_dagster.progress import Silent
from aegis_dagster.settings import load_settings
from aegis_dagster.sources.local_folder import stamp_of
from aegis_dagster.stores.catalog.schema import documents, stage_states
from aegis_dagster_tests.support.dagster_instance import quick_instance

COLLECTIONS, CHANGES = 100, 1_000
SCRAPES = 20


@contextmanager
def measured(what: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    peak = int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what:42} {wall:7.2f} s {cpu:7.2f} CPU-s, peak {peak:5.0f} MB", flush=True)


def write_files(root: Path, count: int) -> None:
    for number in range(COLLECTIONS):
        folder = root / f"{number:03}"
        folder.mkdir(parents=True)
        for file in range(count // COLLECTIONS):
            os.close(os.open(folder / f"{file:06}.txt", os.O_CREAT))


def fill(project: Project) -> None:
    """Record every file as listed and done."""
    identities, empty = project.identities, Revision(text_hash(""))
    long_ago = {"deleted": False, "first_seen_ms": 1, "changed_ms": 1}

    def rows() -> Iterator[tuple[dict[str, object], list[dict[str, object]]]]:
        for folder in sorted(project.root.iterdir()):
            for file in os.scandir(folder):
                status = file.stat()
                seen = SeenFile(empty, stamp_of(status), status.st_size)
                document = seen.document(DocumentId(f"{folder.name}/{file.name}"))
                listed = {
                    "id": document.id,
                    "collection": document.collection,
                    "revision": document.revision,
                    "stamp": seen.stamp,
                    "size_bytes": document.size_bytes,
                    "suffix": document.suffix,
                }
                ended = {"document_id": document.id, "status": "done", "attempts": 1, "started_ms": 2, "finished_ms": 3}
                wanted = wanted_fingerprints(document, identities, {})
                facts = '{"chunks": 3, "points": 3, "pages": 1, "coverage": 1.0}'
                yield (
                    listed | long_ago,
                    [ended | {"stage": stage, "fingerprint": name, "facts": facts} for stage, name in wanted.items()],
                )

    every = rows()
    while part := list(islice(every, 10_000)):
        with project.engine.begin() as connection:
            connection.execute(sa.insert(documents), [listed for listed, _ in part])
            connection.execute(sa.insert(stage_states), [state for _, states in part for state in states])
    (project.settings.vectors_dir / "collection" / project.vectors.collection).mkdir(parents=True, exist_ok=True)


def tick(folder: Path, what: str) -> None:
    """One look of the sensor, as its process makes it."""
    dagster = Path(tempfile.mkdtemp(dir=folder))
    with quick_instance(dagster) as instance:
        project = Project(load_settings())
        with measured(f"tick: {what}"):
            plan, _, said = look(instance, project, lambda line: None, Rest(), read_seconds=8)
        print(f"    {len(plan.requests)} runs requested. {said}"[:160])


def scrapes() -> None:
    exporter = build_exporter(load_settings(), lambda _: RunNumbers({}, {}))
    with measured("exporter: all sources once"):
        exporter.refresh()
    took, cpu = [], time.process_time()
    for _ in range(SCRAPES):
        began = time.perf_counter()
        size = len(exposition(exporter))
        took.append(time.perf_counter() - began)
    each = (time.process_time() - cpu) / SCRAPES
    print(f"scrape of {size} bytes: {min(took) * 1000:.0f} to {max(took) * 1000:.0f} ms, {each * 1000:.0f} of CPU")


def apart(*arguments: str) -> None:
    """Measure in a process of its own."""
    subprocess.run([sys.executable, "-m", "scripts.benchmark_catalog", *arguments], check=True)


def measure_all(folder: Path, engine: str) -> None:
    print(f"--- {engine}", flush=True)
    apart("tick", str(folder), "nothing changed")
    for number in range(CHANGES):
        Path(folder, "root", f"{number % COLLECTIONS:03}", f"{number // COLLECTIONS:06}.txt").write_text(
            f"{engine} {number}"
        )
    apart("tick", str(folder), f"{CHANGES} changes")
    apart("scrapes")


def main() -> None:
    given = sys.argv[1:]
    if given[:1] == ["tick"]:
        tick(Path(given[1]), given[2])
        return
    if given == ["scrapes"]:
        scrapes()
        return
    count = int(given[0]) if given else 1_000_000
    kept = os.environ.get("AEGIS_BENCHMARK_FOLDER")
    with tempfile.TemporaryDirectory(prefix="aegis_catalog_") as name:
        folder = Path(kept or name)
        settings = {"home": f"{folder}/home", "root": f"{folder}/root", "listing": {"settle_seconds": 0}}
        (folder / "aegis.yaml").write_text(json.dumps(settings))
        os.environ["AEGIS_CONFIG"] = f"{folder}/aegis.yaml"
        if not (folder / "home").exists():
            with measured(f"{count} files"):
                write_files(folder / "root", count)
            with measured("their rows"):
                fill(Project(load_settings()))
        if len(given) > 1:
            with measured("moving the home"):
                move_home(Project(load_settings()), given[1], Silent())
        measure_all(folder, "SQLite")
        if len(given) > 1:
            os.environ["AEGIS_DATABASE"] = given[1]
            measure_all(folder, "Postgres")


if __name__ == "__main__":
    main()
