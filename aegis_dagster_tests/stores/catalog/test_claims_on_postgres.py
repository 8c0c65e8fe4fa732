"""Claims never overlap, on Postgres either: SQLite lets one writer in at a time by itself."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aegis_dagster.domain.stages import Stage
from aegis_dagster.stores.catalog.claims import Catalog
from aegis_dagster.stores.database import open_database
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
