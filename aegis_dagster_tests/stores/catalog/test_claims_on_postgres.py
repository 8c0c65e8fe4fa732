"""Claims never overlap and listings never block each other, on Postgres either; SQLite lets one writer in at a time."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aegis_dagster.domain.identifiers import DocumentId, Revision
from aegis_dagster.domain.listing import KnownFiles, Listing, SeenFile, diff_listing
from aegis_dagster.domain.stages import Stage
from aegis_dagster.stores.catalog.claims import Catalog
from aegis_dagster.stores.catalog.documents import DocumentList
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster.stores.database import exclusive, open_database
from aegis_dagster_tests.support.projects import make_project, scan, write_documents
from aegis_dagster_tests.support.servers.postgres import PostgresServer


def test_several_who_claim_at_once_share_the_documents(tmp_path: Path, postgres: PostgresServer) -> None:
    url = postgres.new_database()
    project = make_project(tmp_path, database=url)
    names = [f"c/{number:03}.txt" for number in range(150)]
    write_documents(project.root, names, paragraphs=1)
    scan(project)
    wanted = {document.id: (document.revision, "fingerprint") for document in project.documents.all()}
    catalogs = [Catalog(open_database(url), project.clock, lease_seconds=600) for _ in range(4)]
    with ThreadPoolExecutor(len(catalogs)) as threads:
        claimed = list(threads.map(lambda catalog: catalog.claim(Stage.PARSE, wanted), catalogs))
    counts = Counter(document for mine in claimed for document in mine)
    assert set(counts) == set(names)
    assert set(counts.values()) == {1}
    for catalog in catalogs:
        catalog.engine.dispose()
    project.engine.dispose()


def test_two_hosts_that_list_at_once_wait_for_each_other(postgres: PostgresServer) -> None:
    listed = DocumentList(open_database(postgres.new_database()), SystemClock())
    listing = Listing({DocumentId("c/a.txt"): SeenFile(Revision("1"), "1", 1)})
    diff = diff_listing(listing, KnownFiles())
    with ThreadPoolExecutor(1) as threads:
        with exclusive(listed.engine):  # as the other host's listing
            applied = threads.submit(listed.apply, listing, diff, delete=True)
            with pytest.raises(TimeoutError):
                applied.result(timeout=3)
        applied.result()
    assert listed.count() == 1
    listed.engine.dispose()
