"""Measures the evidence of Re-DocRED, the ledger under eight processes, and a scrape of a large home.

    .venv/bin/python -m scripts.benchmark_stores [evidence] [ledger] [scrape]

Without names it runs all of them, each on a new SQLite database. It expects Re-DocRED in ../shared/corpora or
AEGIS_CORPORA.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from aegis_dagster.stores.database import open_database
from aegis_dagster.stores.evidence.store import EvidenceStore
from aegis_dagster_tests.support import ledger_workers as workers
from aegis_dagster_tests.support.bulk_rows import add_calls, add_documents
from aegis_dagster_tests.support.monitored_homes import make_exporter, make_settings
from aegis_dagster_tests.support.redocred import corpus, evidence_of
from aegis_dagster_tests.support.scraping import fetch, served

BATCH, SCRAPES = 50, 25
PROCESSES, CALLS_EACH, CALLERS = 8, 160, 16
CALLS, DOCUMENTS = 1_000_000, 100_000


def evidence(folder: Path) -> dict[str, str]:
    """All documents are written in batches, then every twentieth is deleted."""
    documents = [asyncio.run(evidence_of(document)) for document in corpus()[0]]
    records = sum(len(chunk.mentions) + len(chunk.relations) for one in documents for _, chunk in one.chunks)
    store = EvidenceStore(open_database(f"sqlite:///{folder / 'aegis.db'}"))
    began = time.process_time()
    for start in range(0, len(documents), BATCH):
        store.replace_documents(documents[start : start + BATCH])
    rate = records / (time.process_time() - began)
    seconds = [_seconds(partial(store.delete_documents, [one.document_id])) for one in documents[::20]]
    return {
        f"evidence: {records} records written": f"{rate:.0f} records a second of CPU",
        "evidence: a document deleted": f"{statistics.median(seconds) * 1000:.1f} ms",
    }


def ledger(folder: Path) -> dict[str, str]:
    """Eight processes reserve and settle, each sixteen calls at once."""
    url = f"sqlite:///{folder / 'aegis.db'}"
    open_database(url).dispose()
    begin, end = workers.PROCESSES.Barrier(PROCESSES + 1), workers.PROCESSES.Barrier(PROCESSES + 1)
    for _ in range(PROCESSES):
        workers.start(workers.make_calls, url, CALLS_EACH, CALLERS, begin, end)
    begin.wait()
    seconds = _seconds(end.wait)
    return {
        f"ledger: {PROCESSES} processes": f"{PROCESSES * CALLS_EACH / seconds:.0f} calls reserved and settled a second"
    }


def scrape(folder: Path) -> dict[str, str]:
    """A home with a million calls and a hundred thousand documents."""
    settings = make_settings(folder)
    open_database(settings.database_url).dispose()
    add_calls(folder / "aegis.db", CALLS)
    add_documents(folder / "aegis.db", DOCUMENTS, collections=20)
    exporter = make_exporter(settings)
    began = time.process_time()
    exporter.refresh()
    counting = time.process_time() - began
    with served(exporter) as url:
        seconds = [_seconds(lambda: fetch(url, "text/plain")) for _ in range(SCRAPES)]
    return {
        f"metrics: a scrape with {CALLS} calls, {DOCUMENTS} documents": f"{statistics.median(seconds) * 1000:.0f} ms",
        "metrics: what the background reads of it": f"{counting:.1f} s of CPU",
    }


def _seconds(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def main() -> None:
    known = {"evidence": evidence, "ledger": ledger, "scrape": scrape}
    for name in sys.argv[1:] or known:
        with tempfile.TemporaryDirectory() as folder:
            for what, value in known[name](Path(folder)).items():
                print(f"{what:60} {value}", flush=True)


if __name__ == "__main__":
    main()
