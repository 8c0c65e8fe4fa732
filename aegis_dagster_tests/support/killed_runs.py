"""Runs to be killed: processes that keep making calls and ending documents through the real stores.

Imported by the fork server once.
"""

import os
import random
import time
from collections import Counter
from itertools import count
from pathlib import Path

from aegis_dagster.domain.identifiers import DocumentId, Revision
from aegis_dagster.domain.stages import Failure, Outcome, Stage, Status
from aegis_dagster.errors import FailureCode
from aegis_dagster.stores.catalog.claims import Catalog
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster.stores.database import open_database
from aegis_dagster_tests.support.ledger_workers import PROCESSES, make_calls_until_killed, start
from aegis_dagster_tests.support.waiting import until

PROCESSES.set_forkserver_preload([__name__])
DONE = Outcome(Status.DONE, seconds=0.25)
CALLS, ENDS = "calls", "ends"  # journals
_AT_WORK_BYTES = 200  # some six calls, or a dozen ends
FAILED = Outcome(Status.FAILED, failure=Failure(FailureCode.NO_TEXT, "m", "r", False), seconds=0.5)


class KilledRun:
    """One process for the ledger and one for the catalog, of a database that others have used before."""

    def __init__(self, url: str, documents: dict[str, str], folder: Path) -> None:
        """documents: revision by id. folder: where the processes write down what they have done."""
        calls, ends = folder / CALLS, folder / ENDS
        self._journals = {journal: _size(journal) for journal in (calls, ends)}
        self._processes = [
            start(make_calls_until_killed, url, str(calls)),
            start(end_documents_until_killed, url, documents, str(ends)),
        ]

    def wait_until_it_works(self) -> None:
        """Wait until both have done something."""
        until(self._works)

    def _works(self) -> bool:
        assert all(process.is_alive() for process in self._processes)
        return all(_size(journal) >= size + _AT_WORK_BYTES for journal, size in self._journals.items())

    def kill(self) -> None:
        """Kill both at once. Neither ends by itself."""
        assert all(process.is_alive() for process in self._processes)
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()


def end_documents_until_killed(url: str, documents: dict[str, str], journal: str) -> None:
    """Take and end documents at random stages. What was recorded is written down after it."""
    written = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    catalog = Catalog(open_database(url), SystemClock(), lease_seconds=0.05)  # what a killed one held is free at once
    for number in count():
        stage, outcome = random.choice(list(Stage)), random.choice([DONE, FAILED])
        fingerprint = f"{os.getpid()}-{number}"
        wanted = {DocumentId(name): (Revision(revision), fingerprint) for name, revision in documents.items()}
        claimed = catalog.claim(stage, wanted)
        catalog.finish(stage, dict.fromkeys(claimed, (fingerprint, outcome)))
        os.write(written, f"{stage} {outcome.status} {len(claimed)}\n".encode())
        time.sleep(0.003)  # the other one writes to the same database


def ends_written_down(folder: Path) -> Counter[tuple[str, str]]:
    """Documents by stage and status, as far as the processes had time to write them down."""
    counted: Counter[tuple[str, str]] = Counter()
    for line in (folder / ENDS).read_text("utf-8").splitlines():
        stage, status, documents = line.split()
        counted[stage, status] += int(documents)
    return counted


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
