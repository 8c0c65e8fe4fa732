"""Local copies of artifacts: a limit, the longest unused goes first, and nobody loses what he reads."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aegis_dagster.domain.stages import Stage
from aegis_dagster.stores.bucket_artifacts import BucketArtifacts
from aegis_dagster.stores.read_cache import ReadCache
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.counting import opened_below
from aegis_dagster_tests.support.waiting import until

SIZE = 100_000  # bytes of an artifact
NAMES = [f"{number:02x}" * 32 for number in range(12)]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., BucketArtifacts]:
    return lambda most: store_at(tmp_path, most)


def store_at(folder: Path, most: float) -> BucketArtifacts:
    cache = ReadCache(folder / "cache", most_bytes=int(most * SIZE))
    return BucketArtifacts(f"file://{folder}/share", options={}, root=folder / "local", cache=cache, clock=SetClock())


def fill(store: BucketArtifacts, names: list[str] = NAMES) -> None:
    for name in names:
        with store.staging(Stage.PARSE, name, replace=False) as folder:
            (folder / "document.json").write_text(text_of(name))


def text_of(name: str) -> str:
    return name[:2] * (SIZE // 2)


def copies(tmp_path: Path) -> list[str]:
    """The fingerprints of the copies."""
    return sorted(entry.name.split("-")[1] for entry in (tmp_path / "cache" / "entries").glob("*/*"))


def let_time_pass(tmp_path: Path) -> None:
    """The clock of a file system may stand still for milliseconds."""
    for entry in (tmp_path / "cache" / "entries").glob("*/*"):
        used = entry.stat().st_mtime_ns - 10**9
        os.utime(entry, ns=(used, used))


def test_the_copies_stay_below_the_limit_and_the_longest_unused_goes(
    make: Callable[..., BucketArtifacts], tmp_path: Path
) -> None:
    store = make(3.5)
    fill(store, NAMES[:3])
    assert copies(tmp_path) == NAMES[:3]  # what is published here need not be fetched
    let_time_pass(tmp_path)
    with store.reading():
        assert store.path(Stage.PARSE, NAMES[0]).is_dir()  # used
    let_time_pass(tmp_path)
    fill(store, NAMES[3:4])
    assert copies(tmp_path) == [NAMES[0], NAMES[2], NAMES[3]]
    with store.reading():
        assert store.damage(Stage.PARSE, NAMES[1]) is None  # fetched again
    assert copies(tmp_path) == [NAMES[0], NAMES[1], NAMES[3]]


def test_a_copy_is_read_once_for_a_look_and_fetched_once(make: Callable[..., BucketArtifacts], tmp_path: Path) -> None:
    fill(make(0), NAMES[:1])
    store = make(9)
    with store.reading():
        assert store.damage(Stage.PARSE, NAMES[0]) is None
        with opened_below(tmp_path / "share" / "data") as events:
            assert store.damage(Stage.PARSE, NAMES[0]) is None
            assert (store.path(Stage.PARSE, NAMES[0]) / "document.json").read_text() == text_of(NAMES[0])
        assert "open" not in events


def test_what_is_read_stays_while_it_is_evicted_deleted_and_replaced(
    make: Callable[..., BucketArtifacts], tmp_path: Path
) -> None:
    store = make(0)
    fill(store, NAMES[:2])
    assert copies(tmp_path) == []
    with store.reading():
        assert store.damage(Stage.PARSE, NAMES[0]) is None
        folder = store.path(Stage.PARSE, NAMES[0])
        assert copies(tmp_path) == []  # evicted at once
        with store.reading():
            assert store.damage(Stage.PARSE, NAMES[1]) is None
            inner = store.path(Stage.PARSE, NAMES[1])
        make(0).delete(Stage.PARSE, NAMES[0])
        assert (folder / "document.json").read_text() == text_of(NAMES[0])
        assert not inner.exists()
    assert not folder.exists()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_damaged_copy_is_fetched_again(make: Callable[..., BucketArtifacts], tmp_path: Path) -> None:
    store = make(9)
    fill(store, NAMES[:1])
    (copy,) = (tmp_path / "cache" / "entries").rglob("document.json")
    copy.write_text("damaged")
    with store.reading():
        assert store.damage(Stage.PARSE, NAMES[0]) is None
        assert (store.path(Stage.PARSE, NAMES[0]) / "document.json").read_text() == text_of(NAMES[0])


READER = """
import random, sys
from pathlib import Path
from aegis_dagster.domain.stages import Stage
from aegis_dagster_tests.stores.test_read_cache import NAMES, store_at, text_of
chance, store = random.Random(int(sys.argv[2])), store_at(Path(sys.argv[1]), 3.5)
for number in range(int(sys.argv[3])):
    name = chance.choice(NAMES)
    with store.reading():
        assert store.damage(Stage.PARSE, name) is None
        assert (store.path(Stage.PARSE, name) / "document.json").read_text() == text_of(name), name
    print(number, flush=True)
store.close()
"""


def test_processes_that_read_and_evict_at_once_lose_nothing_and_leave_nothing_when_killed(
    make: Callable[..., BucketArtifacts], tmp_path: Path
) -> None:
    fill(make(3.5))
    rounds = {1: 40, 2: 40, 3: 100_000}
    readers = {
        seed: subprocess.Popen(
            [sys.executable, "-c", READER, str(tmp_path), str(seed), str(number)],
            stdout=(tmp_path / f"{seed}.out").open("wb"),
            stderr=subprocess.PIPE,
        )
        for seed, number in rounds.items()
    }
    killed = readers.pop(3)
    until(lambda: (tmp_path / "3.out").read_bytes().count(b"\n") > 20, "reads")
    killed.kill()
    killed.communicate()
    for reader in readers.values():
        assert reader.wait(200) == 0, reader.communicate()[1]
    store = make(3.5)
    store.clean_staging()
    with store.reading():
        for name in random.Random(4).sample(NAMES, len(NAMES)):
            assert store.damage(Stage.PARSE, name) is None
    assert len(copies(tmp_path)) <= 3
    store.close()
    left = [path for path in (tmp_path / "cache").glob("[rm]*/*") if str(os.getpid()) not in path.name]
    assert left == []
