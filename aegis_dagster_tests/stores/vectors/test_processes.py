"""Several processes on one store, and processes that are killed."""

import subprocess
import sys
import time
from collections import Counter

import pytest

from aegis_dagster.errors import StoreBusy
from aegis_dagster.stores.vectors.qdrant_edge_engine import EdgeFolder
from aegis_dagster_tests.support.points_writer import DOCUMENTS, PASSAGES, Folder, open_store, replace


def start(folder: Folder, *arguments: str) -> subprocess.Popen[str]:
    """Start a writer and wait until it has the store open."""
    command = [sys.executable, "-m", "aegis_dagster_tests.support.points_writer"]
    command += ["edge" if isinstance(folder, EdgeFolder) else "client", str(folder.path), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_second_process_waits_for_the_first(folder: Folder) -> None:
    first = start(folder, "hold", "1.5")
    replace(open_store(folder), "v1")
    assert first.wait() == 0
    assert open_store(folder).count() == len(DOCUMENTS) * PASSAGES


def test_who_waits_too_long_is_told_so(folder: Folder) -> None:
    first = start(folder, "hold", "60")
    try:
        began = time.monotonic()
        with pytest.raises(StoreBusy, match="AEGIS_QDRANT__LOCK_TIMEOUT_SECONDS") as caught:
            open_store(folder, lock_timeout_seconds=0.3).count()
        assert time.monotonic() - began >= 0.3
        assert caught.value.retryable
    finally:
        first.kill()
        first.wait()


def test_a_process_that_keeps_the_store_lets_others_in_and_can_be_killed(folder: Folder) -> None:
    first = start(folder, "keep", "v1")
    try:
        assert open_store(folder).count() == len(DOCUMENTS) * PASSAGES
        assert first.poll() is None
    finally:
        first.kill()
        first.wait()
    second = start(folder, "keep", "v2")
    second.kill()
    second.wait()
    replace(open_store(folder), "v3")
    assert {point.payload["fingerprint"] for point in open_store(folder).scan()} == {"v3"}


def test_two_processes_that_replace_the_same_documents_leave_one_version(folder: Folder) -> None:
    first = start(folder, "replace", "v1")
    second = start(folder, "replace", "v2")
    assert (first.wait(), second.wait()) == (0, 0)
    stored = Counter(point.payload["fingerprint"] for point in open_store(folder).scan())
    assert stored == {"v2": len(DOCUMENTS) * PASSAGES}


def test_a_replacement_killed_anywhere_leaves_no_hole_and_can_be_repeated(folder: Folder) -> None:
    replace(open_store(folder), "v0")
    interrupted = 0
    for round_number, seconds in enumerate([0.0, 0.01, 0.05, 0.15, 0.3], start=1):
        before, after = f"v{round_number - 1}", f"v{round_number}"
        writer = start(folder, "replace", after)
        time.sleep(seconds)
        writer.kill()
        writer.wait()
        store = open_store(folder)
        stored = Counter((point.payload["document"], point.payload["fingerprint"]) for point in store.scan())
        for document in DOCUMENTS:
            assert PASSAGES in (stored[document, before], stored[document, after]), stored
        interrupted += any(stored[document, before] > 0 for document in DOCUMENTS)
        replace(store, after)
        assert Counter(point.payload["fingerprint"] for point in store.scan()) == {after: len(DOCUMENTS) * PASSAGES}
    assert interrupted > 0, "every replacement was finished before its process was killed"
