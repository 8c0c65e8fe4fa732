"""kill -9 at any moment, two runs at once: the next run completes, and nothing is lost, doubled or paid twice."""

import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.digests import digests
from aegis_dagster.domain.stages import Stage
from aegis_dagster.settings import Settings
from aegis_dagster_tests.support import killed_ingestion
from aegis_dagster_tests.support.cli_process import Aegis
from aegis_dagster_tests.support.projects import write_documents
from aegis_dagster_tests.support.warm_processes import WarmParent, warm_parent

pytestmark = pytest.mark.slow

NAMES = [f"c/{number:02}.txt" for number in range(8)]
ONE_BY_ONE = (Stage.PARSE, Stage.ENRICH, Stage.CHUNK)
_BY_SPEED = 4  # how many fewer writes there may be: how many documents are recorded together depends on their speed


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """A build that nobody killed."""

    parent: WarmParent
    root: Path
    writes: dict[str, int]  # durable ones, by stage
    work: dict[str, int]
    digests: dict[str, str]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    folder = tmp_path_factory.mktemp("kills")
    write_documents(folder / "root", NAMES, paragraphs=6)
    with warm_parent(killed_ingestion, folder) as parent:
        aegis = Aegis(folder / "home", folder / "root")
        answer = parent.start((), aegis.environment()).answer()
        yield Undisturbed(parent, folder / "root", answer["writes"], answer["work"], digests_of(aegis))


def digests_of(aegis: Aegis) -> dict[str, str]:
    project = Project(Settings.model_validate({"home": aegis.home, "root": aegis.root}))
    try:
        return digests(project)
    finally:
        project.close()


def count(home: Path, query: str) -> int:
    """0 also where the database is not there yet."""
    if not (home / "aegis.db").exists():
        return 0
    with sqlite3.connect(home / "aegis.db", timeout=30) as connection:
        try:
            found: int = connection.execute(query).fetchone()[0]
        except sqlite3.OperationalError:  # not migrated yet
            return 0
    return found


def settled(home: Path) -> int:
    """How many documents and stages are settled."""
    return count(home, "SELECT count(*) FROM stage_states WHERE status IN ('done', 'skipped')")


def embedded(home: Path) -> int:
    """How many different texts the model has embedded."""
    return count(home, "SELECT count(*) FROM embedding_cache")


def assert_completes(undisturbed: Undisturbed, aegis: Aegis) -> None:
    """What a killed run embedded is in the cache, what is there is not embedded again, and all ends as undisturbed."""
    cached = embedded(aegis.home)
    last = undisturbed.parent.start((), aegis.environment()).answer()
    assert last["work"].get("chunks_embedded", 0) == undisturbed.work["chunks_embedded"] - cached
    assert digests_of(aegis) == undisturbed.digests


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
def test_runs_killed_in_every_stage_end_like_one_that_was_not(
    undisturbed: Undisturbed, tmp_path: Path, share: float
) -> None:
    """One home, killed once in each stage: at its first write, at the last one that is sure to come, and between."""
    aegis = Aegis(tmp_path / "home", undisturbed.root)
    for stage in Stage:
        sure = undisturbed.writes[stage] - (_BY_SPEED if stage in ONE_BY_ONE else 0)
        number = 1 + round(share * (max(sure, 1) - 1))
        run = undisturbed.parent.start((stage, str(number)), aegis.environment())
        assert run.wait() == -signal.SIGKILL, (stage, number, run.output.read_text("utf-8"))
    assert_completes(undisturbed, aegis)


def test_runs_killed_at_any_moment_end_like_one_that_was_not(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """By the clock: also between two writes, and in the midst of one."""
    chance, aegis, ends = random.Random(11), Aegis(tmp_path / "home", undisturbed.root), []
    for _ in range(6):
        before = settled(aegis.home)
        run = undisturbed.parent.start((), aegis.environment())
        while settled(aegis.home) <= before and before < len(NAMES) * len(Stage):
            time.sleep(0.01)
        time.sleep(chance.random() * 0.2)
        run.kill()
        ends.append(run.wait())
    assert -signal.SIGKILL in ends
    assert_completes(undisturbed, aegis)


def test_a_killed_command_is_completed_by_the_next_one(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """The real command with its worker processes, while it chunks."""
    aegis = Aegis(tmp_path / "home", undisturbed.root)
    with aegis.start("ingest", "--json") as process:
        wait_until_settled(aegis, process, 2 * len(NAMES) + 1)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert settled(aegis.home) < len(NAMES) * len(Stage)
    last = aegis("ingest", "--json")
    assert last.code == 0, last.stderr
    assert digests_of(aegis) == undisturbed.digests


def wait_until_settled(aegis: Aegis, process: "subprocess.Popen[str]", level: int) -> None:
    """Until so many documents and stages are settled by a run that goes on."""
    while settled(aegis.home) < level:
        assert process.poll() is None
        time.sleep(0.01)


def test_two_runs_at_once_do_the_work_of_one(undisturbed: Undisturbed, tmp_path: Path) -> None:
    both = Aegis(tmp_path / "both", undisturbed.root)
    runs = [both.start("ingest", "--json") for _ in range(2)]
    answers = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], [stderr for _, stderr in answers]
    assert_completes(undisturbed, both)
    assert undisturbed.work["parsed"] == len(NAMES) == count(both.home, "SELECT count(DISTINCT id) FROM documents")
    # Nobody did a document and stage a second time.
    assert count(both.home, "SELECT count(*) FROM stage_states WHERE attempts <> 1") == 0
    assert settled(both.home) == len(NAMES) * len(Stage)
