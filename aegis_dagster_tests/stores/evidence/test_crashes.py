"""Writers that are killed, and writers side by side: whole documents or nothing, and nothing lost."""

import multiprocessing
import random
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Event
from pathlib import Path

from aegis_dagster.domain.evidence import DocumentEvidence
from aegis_dagster.stores.database import open_database
from aegis_dagster.stores.evidence.store import EvidenceStore

KILLS = 10
PROCESSES = multiprocessing.get_context("fork")  # the children inherit the documents


def write_one_by_one(
    url: str, documents: Sequence[DocumentEvidence], rounds: int, writing: Event | None = None
) -> None:
    """Deletes all documents, then deletes and writes each, `rounds` times; sets `writing` after the first.

    Beginning with nothing, so that what a kill leaves tells when it came.
    """
    store = EvidenceStore(open_database(url))
    for _ in range(rounds):
        store.delete_documents([one.document_id for one in documents])
        for one in documents:
            store.delete_documents([one.document_id])
            store.replace_documents([one])
            if writing is not None:
                writing.set()


def digest_of(url: str) -> tuple[str, list[str]]:
    """Digest and mismatches; leaves no connection that a forked child would share."""
    engine = open_database(url)
    try:
        return EvidenceStore(engine).digest(), EvidenceStore(engine).verify()
    finally:
        engine.dispose()


def scratch_digest(tmp_path: Path, documents: Sequence[DocumentEvidence]) -> str:
    url = f"sqlite:///{tmp_path / 'scratch.db'}"
    engine = open_database(url)
    EvidenceStore(engine).replace_documents(documents)
    engine.dispose()
    return digest_of(url)[0]


def test_a_writer_killed_at_any_moment_leaves_a_graph_that_agrees_and_can_be_completed(
    tmp_path: Path, gold: list[DocumentEvidence]
) -> None:
    url = f"sqlite:///{tmp_path / 'killed.db'}"
    documents = gold[:60]
    chance = random.Random(7)
    digests = {digest_of(url)[0]}
    for _ in range(KILLS):
        writing = PROCESSES.Event()
        writer = PROCESSES.Process(target=write_one_by_one, args=(url, documents, 1000, writing))
        writer.start()
        assert writing.wait(200), "the writer never wrote"
        time.sleep(chance.uniform(0.0, 0.4))
        writer.kill()
        writer.join()
        assert writer.exitcode == -9
        digest, mismatches = digest_of(url)
        assert mismatches == []
        digests.add(digest)
    assert len(digests) > KILLS / 2, "the writers were killed at one and the same moment"

    write_one_by_one(url, documents, 1)

    assert digest_of(url) == (scratch_digest(tmp_path, documents), [])


def test_two_processes_that_write_different_documents_at_once_give_the_graph_of_one(
    tmp_path: Path, gold: list[DocumentEvidence]
) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    documents = gold[:60]
    digest_of(url)  # the schema is there
    writers = [PROCESSES.Process(target=write_one_by_one, args=(url, documents[part::2], 2)) for part in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert [writer.exitcode for writer in writers] == [0, 0]
    assert digest_of(url) == (scratch_digest(tmp_path, documents), [])
