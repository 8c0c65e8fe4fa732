"""kill -9 at any moment, two runs at once: the next run completes, and nothing is lost, doubled or paid twice."""

import os
import random
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from aegis_dagster.domain.stages import Stage
from aegis_dagster_tests.support.cli_process import Aegis
from aegis_dagster_tests.support.projects import write_documents

NAMES = [f"c/{number:02}.txt" for number in range(16)]
KILLS = 22


def settled(home: Path) -> int:
    """How many documents and stages are settled; every stage has passed when all are."""
    return _count(home, "SELECT count(*) FROM stage_states WHERE status IN ('done', 'skipped')")


def embedded(home: Path) -> int:
    """How many different texts the model has embedded."""
    return _count(home, "SELECT count(*) FROM embedding_cache")


def _count(home: Path, query: str) -> int:
    if not (home / "aegis.db").exists():
        return 0
    with sqlite3.connect(home / "aegis.db", timeout=30) as connection:
        try:
            found: int = connection.execute(query).fetchone()[0]
        except sqlite3.OperationalError:  # not migrated yet
            return 0
    return found


def kill_when(aegis: Aegis, process: "subprocess.Popen[str]", level: int, delay: float) -> bool:
    """Kill the run a moment after so much is settled. False when it ended before."""
    while process.poll() is None:
        if settled(aegis.home) >= level:
            time.sleep(delay)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return True
        time.sleep(0.01)
    return False


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_killed_at_every_stage_end_like_one_that_was_not(tmp_path: Path) -> None:
    write_documents(tmp_path / "root", NAMES, paragraphs=6)
    undisturbed = Aegis(tmp_path / "undisturbed", tmp_path / "root")
    expected_work = undisturbed("ingest", "--json").json["work"]
    expected = undisturbed("digest", "--json").json

    aegis = Aegis(tmp_path / "killed", tmp_path / "root")
    chance = random.Random(11)
    total = len(NAMES) * len(Stage)
    kills, levels = 0, []
    while kills < KILLS:
        before = settled(aegis.home)
        if before >= total:  # all is settled: another edit gives the next runs something to do
            (tmp_path / "root" / chance.choice(NAMES)).touch()
            aegis = Aegis(tmp_path / f"killed-{kills}", tmp_path / "root")
            before = 0
        with aegis.start("ingest", "--json") as process:
            # The first five kills go to the beginning of each stage, the others anywhere. Embed and graph record
            # all these documents at once: there the beginning is when the stage before has ended.
            aimed = kills < len(Stage)
            level = (
                kills * len(NAMES) + (1 if kills < 3 else 0)
                if aimed
                else min(total - 1, before + chance.randrange(0, len(NAMES)))
            )
            if kill_when(aegis, process, level, 0.0 if aimed else chance.random() * 0.2):
                kills += 1
                levels.append(settled(aegis.home))

        cached = embedded(aegis.home)
        if chance.random() < 0.15 or kills == KILLS:
            last = aegis("ingest", "--json")
            assert last.code == 0, last.stderr
            # What a killed run embedded is in the cache, and what is in the cache is not embedded again.
            assert last.json["work"]["chunks_embedded"] == expected_work["chunks_embedded"] - cached
            assert aegis("digest", "--json").json == expected
    assert kills >= 20
    stages_hit = {min(level, total - 1) // len(NAMES) for level in levels}
    assert stages_hit == {0, 1, 2, 3, 4}, levels


@pytest.mark.slow
def test_two_runs_at_once_do_the_work_of_one(tmp_path: Path) -> None:
    write_documents(tmp_path / "root", NAMES)
    alone = Aegis(tmp_path / "alone", tmp_path / "root")
    expected_work = alone("ingest", "--json").json["work"]
    both = Aegis(tmp_path / "both", tmp_path / "root")
    runs = [both.start("ingest", "--json") for _ in range(2)]
    answers = [run.communicate(timeout=250) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], [stderr for _, stderr in answers]
    assert both("ingest", "--json").json["done"] == len(NAMES)
    assert both("digest", "--json").json == alone("digest", "--json").json
    assert expected_work["parsed"] == len(NAMES)
    states = _count(both.home, "SELECT count(*) FROM stage_states WHERE attempts <> 1")
    assert states == 0  # nobody did a document and stage a second time
