"""What a catalog of very many documents costs, counted on a small one; `scripts.benchmark_catalog` measures."""

from pathlib import Path

import sqlalchemy as sa

from aegis_dagster.domain.identifiers import DocumentId, Revision
from aegis_dagster.domain.listing import KnownFile, Listing, SeenFile, SeenFiles, diff_listing
from aegis_dagster.stores.catalog.pending_work import WorkLeft
from aegis_dagster.stores.catalog.schema import documents
from aegis_dagster_tests.support.bulk_rows import end_all_stages
from aegis_dagster_tests.support.counting import database_work
from aegis_dagster_tests.support.projects import make_project

MANY, CHANGED = 1_200, 3


def test_only_documents_with_work_are_read_with_their_states(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    names = [DocumentId(f"c/{number:04}.txt") for number in range(MANY)]
    listing = Listing({name: SeenFile(Revision(f"{number:064x}"), "s", 1) for number, name in enumerate(names)})
    project.documents.apply(listing, diff_listing(listing, {}), delete=True)
    end_all_stages(project)
    with project.engine.begin() as connection:
        edited = sa.update(documents).where(documents.c.id.in_(names[:CHANGED]))
        connection.execute(edited.values(revision="other", changed_ms=2**42))
    with database_work() as work:
        found = WorkLeft(project.engine, project.identities).by_collection(2**43)
    assert [one.id for waiting in found.values() for one in waiting] == names[:CHANGED]
    assert (
        len(work.on("documents")) == 2
    )  # all documents by what tells whether they are done; the rest with their states
    assert work.steps < 150 * MANY


def test_of_a_file_that_is_as_it_is_known_a_scan_keeps_nothing(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    for name in ("c/1.txt", "c/2.txt", "c/3.txt"):
        (project.root / name).parent.mkdir(exist_ok=True)
        (project.root / name).write_text(name, "utf-8")
    first = project.source.scan({})
    project.documents.apply(first, diff_listing(first, {}), delete=True)
    known = project.documents.known()
    (project.root / "c/2.txt").write_text("other words", "utf-8")
    (project.root / "c/3.txt").unlink()
    again = project.source.scan(known)
    assert isinstance(again.files, SeenFiles)
    assert list(again.files.others) == ["c/2.txt"]
    assert list(again.files.left) == ["c/2.txt", "c/3.txt"]
    diff = diff_listing(again, known)
    assert (diff.changed, diff.deleted, diff.unchanged) == (("c/2.txt",), ("c/3.txt",), 1)
    assert dict(known) == {name: _as_known(seen) for name, seen in first.files.items()}


def _as_known(seen: SeenFile) -> KnownFile:
    return KnownFile(seen.revision, seen.stamp, seen.size_bytes, seen.mail, seen.context)
